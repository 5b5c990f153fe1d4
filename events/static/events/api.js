// Shows the OpenAPI schema by Swagger UI.
const api = document.getElementById("api");
window.SwaggerUIBundle({
    domNode: api,
    url: api.dataset.schema,
    presets: [window.SwaggerUIBundle.presets.apis],
    layout: "BaseLayout",
    validatorUrl: null,
    tryItOutEnabled: false,
    defaultModelsExpandDepth: 1,
});
