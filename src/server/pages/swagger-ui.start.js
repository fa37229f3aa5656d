/** Swagger UI would send the examples of optional parameters: filters, or always the same Idempotency-Key. */
function withoutOptionalExamples(text) {
  const description = JSON.parse(text);
  for (const operations of Object.values(description.paths))
    for (const { parameters = [] } of Object.values(operations))
      for (const one of parameters) if (!one.required) delete one.example;
  return JSON.stringify(description);
}

// The token is only kept in the page's memory: it is lost with the tab, and other pages cannot read it.
window.ui = window.SwaggerUIBundle({
  url: "../openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  filter: true,
  tryItOutEnabled: true,
  // Otherwise another host would validate the document.
  validatorUrl: null,
  responseInterceptor(response) {
    if (response.url.endsWith("/openapi.json")) response.text = withoutOptionalExamples(response.text);
    return response;
  },
});
