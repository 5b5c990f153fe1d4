"""Made-up clicks that look real, for demonstrations and load tests. No Django here."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_SAFARI = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
_CHROMIUM = "AppleWebKit/537.36 (KHTML, like Gecko)"
_WINDOWS = f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_CHROMIUM}"

USER_AGENTS: dict[str, int] = {
    # phones
    f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) {_SAFARI} Version/18.6 Mobile/15E148 Safari/604.1": 22,
    f"Mozilla/5.0 (Linux; Android 10; K) {_CHROMIUM} Chrome/142.0.0.0 Mobile Safari/537.36": 20,
    f"Mozilla/5.0 (Linux; Android 10; K) {_CHROMIUM} SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36": 9,
    f"Mozilla/5.0 (Linux; Android 15; SM-S928N Build/AP3A.240905.015.A2; wv) {_CHROMIUM}"
    " Version/4.0 Chrome/142.0.7444.102 Mobile Safari/537.36 KAKAOTALK/25.9.2": 6,
    f"Mozilla/5.0 (iPad; CPU OS 18_6 like Mac OS X) {_SAFARI} CriOS/142.0.7444.77 Mobile/15E148 Safari/604.1": 3,
    # desktops
    f"{_WINDOWS} Chrome/142.0.0.0 Safari/537.36": 18,
    f"{_WINDOWS} Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0": 6,
    f"{_WINDOWS} Chrome/140.0.0.0 Whale/4.34.340.19 Safari/537.36": 3,
    f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {_SAFARI} Version/18.6 Safari/605.1.15": 7,
    "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0": 4,
    # bots
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)": 1,
    "Mozilla/5.0 (compatible; Yeti/1.1; +https://naver.me/spd)": 1,
    "curl/8.14.1": 1,
}
"""Real-looking User-Agents and how often each is seen, relative to the others."""

_COLOR_WEIGHTS = {"blue": 38, "red": 27, "green": 21, "yellow": 14}

_NAMES = [
    f"{first} {last}"
    for first in ("Ada", "Grace", "Alan", "Zoë", "José", "Linnéa", "Amir", "Chloe", "Noah", "Mia")
    for last in ("Hopper", "Novák", "García", "Müller", "Okafor", "Smith", "Rossi", "Tanaka")
] + [
    last + first
    for last in ("김", "이", "박", "최", "정", "강", "조", "윤", "장", "임")
    for first in ("민준", "서연", "도윤", "지우", "하준", "수아", "예준", "하은", "시우", "유나")
]


@dataclass(frozen=True)
class Click:
    """One choice of a colour and the browser that it came from."""

    color: str
    user: str
    user_agent: str


def clicks(*, colors: Sequence[str], users: int, seed: int | None = None) -> Iterator[Click]:
    """Endless clicks of `users` people; a few of them click far more than others, each in a browser of their own.

    seed: the same seed gives the same clicks.
    """
    chance = random.Random(seed)
    pool = chance.sample(_NAMES, len(_NAMES))
    # A number keeps people of the same name apart.
    names = [pool[n % len(pool)] + (f" {n // len(pool) + 1}" if n >= len(pool) else "") for n in range(users)]
    browsers = chance.choices(list(USER_AGENTS), list(USER_AGENTS.values()), k=users)
    activity = [1 / (rank + 1) for rank in range(users)]
    color_weights = [_COLOR_WEIGHTS.get(color, 10) for color in colors]
    while True:
        people = chance.choices(range(users), activity, k=1000)
        chosen = chance.choices(colors, color_weights, k=1000)
        for person, color in zip(people, chosen, strict=True):
            yield Click(color, names[person], browsers[person])
