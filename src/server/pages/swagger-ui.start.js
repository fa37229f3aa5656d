/** Examples of what may be left out would be filled in and sent: a filter, or the same Idempotency-Key each time. */
function withoutFilling(text) {
  const description = JSON.parse(text);
  for (const operations of Object.values(description.paths))
    for (const { parameters = [] } of Object.values(operations))
      for (const one of parameters) if (!one.required) delete one.example;
  return JSON.stringify(description);
}

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
  responseInterceptor(response) {
    if (response.url.endsWith("/openapi.json")) response.text = withoutFilling(response.text);
    return response;
  },
});
