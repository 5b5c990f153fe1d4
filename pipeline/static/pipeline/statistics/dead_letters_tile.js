// The tile of the dead letters that wait for somebody.
import { formatCount, text } from "./format.js";

// answer: {count, is_complete}, {error: {server, text}}, or null while Kafka is still being asked: what is shown stays.
export function showDeadLetters(answer) {
    if (answer === null) {
        return;
    }
    const { count, is_complete: isComplete, error } = answer;
    const tile = document.getElementById("tile-dead-letters");
    tile.textContent = error ? "–" : `${isComplete ? "" : "≈ "}${formatCount(count)}`;
    tile.title = error ? `${error.server}: ${error.text}` : text(isComplete ? "openLetters" : "someLetters");
}
