// node wasm_play.mjs MODULE.wasm JOBS.json: the codes and the sound of each job, or why it is none, as JSON. See test_wasm.py.
import { readFileSync, writeFileSync } from 'node:fs';
import { Engine, hasRelaxed } from '../sopilib/native/wasm/engine.mjs';
import { folded, readModel } from '../sopilib/native/wasm/model.mjs';

const [, , path, jobs] = process.argv;
const module = new WebAssembly.Module(readFileSync(path));

// Each array of folded weights, by name, as a file.
function write(arrays, folder) {
  for (const [name, { data }] of Object.entries(arrays)) writeFileSync(`${folder}/${name}`, data);
}

async function play({ file, precision, seed, pieces, options, prime, folder }) {
  const bytes = new Uint8Array(readFileSync(file));
  if (folder) write(folded(readModel(bytes)).arrays, folder);
  const engine = await Engine.make(module, bytes, precision);
  engine.seed(BigInt(seed));
  if (prime.length) engine.prime(Int32Array.from(prime));
  const codes = [], audio = [];
  for (const n of pieces) {
    const piece = engine.generate(n, options);
    codes.push(...piece.codes);
    audio.push(...piece.audio);
  }
  const encoded = [...engine.coding.encode(Float32Array.from(audio))];
  return { codes, audio, encoded, precision: engine.precision, logits: [...engine.logits()] };
}

const played = [];
for (const job of JSON.parse(readFileSync(jobs))) played.push(await play(job).catch(({ message }) => ({ fault: message })));
console.log(JSON.stringify({ relaxed: hasRelaxed(), played }));
