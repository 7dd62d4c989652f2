// node wasm_play.mjs MODULE.wasm JOBS.json: the codes and the sound of each job, as JSON. See test_wasm.py.
import { readFileSync } from "node:fs";
import { Engine, hasRelaxed } from "../sopilib/native/wasm/engine.mjs";

const [, , path, jobs] = process.argv;
const module = new WebAssembly.Module(readFileSync(path));
const played = [];
for (const { file, precision, seed, pieces, options, prime } of JSON.parse(readFileSync(jobs))) {
  const engine = await Engine.make(module, new Uint8Array(readFileSync(file)), precision);
  engine.seed(BigInt(seed));
  if (prime.length) engine.prime(Int32Array.from(prime));
  const codes = [], audio = [];
  const began = performance.now();
  for (const n of pieces) {
    const piece = engine.generate(n, options);
    codes.push(...piece.codes);
    audio.push(...piece.audio);
  }
  const seconds = (performance.now() - began) / 1000;
  played.push({ codes, audio, realTime: codes.length / engine.config.sample_rate / seconds });
}
console.log(JSON.stringify({ relaxed: hasRelaxed(), played }));
