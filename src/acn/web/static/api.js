// Asking the server. Every function rejects with an Error whose message is a sentence for people.

async function checked(response) {
  if (response.ok) return response;
  let sentence = `the server answered ${response.status}`;
  try {
    sentence = (await response.json()).error ?? sentence;
  } catch {
    // Not JSON: the status has to do.
  }
  throw new Error(sentence);
}

async function ask(path, options) {
  try {
    return await checked(await fetch(path, options));
  } catch (error) {
    if (error instanceof TypeError) throw new Error("the explorer does not answer any more; start it again");
    throw error;
  }
}

export const json = async (path, options) => (await ask(path, options)).json();

export const array = async (path, Type) => new Type(await (await ask(path)).arrayBuffer());

export const blob = async (path, options) => (await ask(path, options)).blob();

// Calls `each` with every line of JSON as it arrives.
export async function lines(path, each, signal) {
  const reader = (await ask(path, { signal })).body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    const parts = (rest + (value ?? "")).split("\n");
    rest = parts.pop();
    for (const part of parts) {
      const line = JSON.parse(part);
      if (line.error) throw new Error(line.error);
      each(line);
    }
    if (done) return;
  }
}
