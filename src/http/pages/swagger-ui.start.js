// The token stays in the page's memory: it is gone with the tab, and no other page can read it.
window.ui = window.SwaggerUIBundle({
  url: "../openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  filter: true,
  tryItOutEnabled: true,
  // Asks no other host whether the description is valid.
  validatorUrl: null,
});
