// The jobs of @hey-api/openapi-ts: a client for each description.
const descriptions = process.env.DESCRIPTIONS.split('\n');

export default descriptions.map((path) => ({
  input: path,
  // Node finds a module of an ES package by its whole file name.
  output: { path: `generated/hey-api/${path.replace(/^.*\/|\.json$/g, '')}`, importFileExtension: '.js' },
  logs: { level: 'warn' },
}));
