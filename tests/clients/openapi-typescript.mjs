// Writes the types of each description with openapi-typescript. By its defaults the contents of a file are a
// `string`, and a member with a default has to be sent.
import { mkdirSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import openapiTS, { astToString } from 'openapi-typescript';
import ts from 'typescript';

const BLOB = ts.factory.createTypeReferenceNode('Blob');

mkdirSync('generated/openapi-typescript', { recursive: true });
for (const path of process.env.DESCRIPTIONS.split('\n')) {
  const types = await openapiTS(pathToFileURL(path), {
    defaultNonNullable: false,
    transform: (schema) => (schema.format === 'binary' ? BLOB : undefined),
  });
  writeFileSync(`generated/openapi-typescript/${path.replace(/^.*\/|\.json$/g, '')}.ts`, astToString(types));
}
