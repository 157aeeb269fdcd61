// An OpenID provider for the tests: oidc-provider, with people who need no password. The pages at which one signs in and
// consents are confirmed by a GET that names the person: /interaction/UID?account=NAME.
//
//   node server.mjs PORT SECRET    listens on 127.0.0.1; SECRET is that of the client `hub`
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

// The packages are in the folder that NODE_MODULES names.
const require = createRequire(`${process.env.NODE_MODULES}/index.js`);
const { default: Provider } = await import(pathToFileURL(require.resolve("oidc-provider")).href);

const [port, secret] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const people = {
  ada: { name: "Ada", email: "ada@acme.example", email_verified: true, groups: ["staff", "crm"] },
  bob: { name: "Bob", email: "bob@acme.example", email_verified: true, groups: ["staff"] },
  eve: { name: "Eve", email: "ada@acme.example", email_verified: false, groups: ["crm"] },
  root: { name: "Root", email: "root@acme.example", email_verified: true, groups: ["ops"] },
};

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: "hub",
      client_secret: secret,
      redirect_uris: ["https://hub.test/console/oidc/callback"],
    },
    {
      client_id: "cli",
      application_type: "native",
      token_endpoint_auth_method: "none",
      grant_types: ["urn:ietf:params:oauth:grant-type:device_code"],
      redirect_uris: [],
      response_types: [],
    },
    {
      client_id: "other",
      application_type: "native",
      token_endpoint_auth_method: "none",
      grant_types: ["urn:ietf:params:oauth:grant-type:device_code"],
      redirect_uris: [],
      response_types: [],
    },
  ],
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name", "groups"] },
  // Otherwise only the userinfo endpoint tells them.
  conformIdTokenClaims: false,
  features: { deviceFlow: { enabled: true }, devInteractions: { enabled: false } },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (_, id) => people[id] && { accountId: id, claims: () => ({ sub: id, ...people[id] }) },
  cookies: { keys: [secret] },
});

async function grant(accountId, clientId) {
  const given = new provider.Grant({ accountId, clientId });
  given.addOIDCScope("openid email profile");
  return given.save();
}

const callback = provider.callback();
createServer(async (request, response) => {
  const url = new URL(request.url, issuer);
  if (!url.pathname.startsWith("/interaction/")) {
    callback(request, response);
    return;
  }
  try {
    const { params, prompt } = await provider.interactionDetails(request, response);
    const accountId = url.searchParams.get("account");
    const answer = prompt.name === "consent"
      ? { consent: { grantId: await grant(accountId, params.client_id) } }
      : { login: { accountId } };
    await provider.interactionFinished(request, response, answer);
  } catch (error) {
    response.writeHead(500).end(String(error));
  }
}).listen(Number(port), "127.0.0.1");
