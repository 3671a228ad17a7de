// A session of the official TypeScript client with an MCP server, on stdio or over HTTP.
//
// Usage: node typescript_client.mjs MODULES SESSION
//
// MODULES is a folder with @modelcontextprotocol/sdk. SESSION is a JSON document: the
// server's "command" and "args", or its "url" and the access "token", and "steps". A step is
// a call of a tool, {"tool", "arguments"}, which {"cancel": true} cancels at its first
// progress, and {"claimed": true} shows the token of the last claim; or a command,
// {"run": [...]}. Prints one JSON document: the server, its tools, a result of each step.
import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import { join } from "node:path";

const [, , modules, session] = process.argv;
const { command, args, url, token, steps } = JSON.parse(session);
let claimed = "";
const resolve = createRequire(join(modules, "of-test.js")).resolve;
const load = (name) => import(resolve(`@modelcontextprotocol/sdk/${name}`));
const { Client } = await load("client/index.js");

async function transport() {
  if (!url) {
    const { StdioClientTransport } = await load("client/stdio.js");
    return new StdioClientTransport({ command, args, env: process.env });
  }
  const { StreamableHTTPClientTransport } = await load("client/streamableHttp.js");
  const headers = { Authorization: `Bearer ${token}` };
  return new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } });
}

async function call(client, { tool, arguments: given = {}, cancel = false, claimed: shows }) {
  if (shows) given = { ...given, token: claimed };
  const progress = [];
  const stop = new AbortController();
  const options = {
    signal: stop.signal,
    onprogress: (step) => {
      progress.push(step);
      if (cancel) stop.abort("not needed any more");
    },
  };
  try {
    const request = { name: tool, arguments: given };
    const { isError = false, content } = await client.callTool(request, undefined, options);
    const document = JSON.parse(content[0].text);
    claimed = Object.values(document.meta?.tokens ?? {})[0] ?? claimed;
    return { progress, isError, document };
  } catch (error) {
    return { progress, raised: String(error) };
  }
}

async function perform(client, step) {
  if (!step.run) return call(client, step);
  const [program, ...rest] = step.run;
  return { printed: execFileSync(program, rest, { encoding: "utf8" }) };
}

const client = new Client({ name: "of-test", version: "1" }, { capabilities: {} });
await client.connect(await transport());
const { tools } = await client.listTools();
const results = [];
for (const step of steps) results.push(await perform(client, step));
const server = client.getServerVersion();
await client.close();
console.log(JSON.stringify({ server, tools, results }));
