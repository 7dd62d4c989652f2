// In the audio thread: reads the ring, counts gaps, and hands out what is recorded.

import { Ring, Seam } from './ring.mjs';

const TOLD = 2; // blocks after which it tells the worker what it has read
const KEPT = 4096; // frames of a recording that are handed out together

class Player extends AudioWorkletProcessor {
  static get parameterDescriptors() {
    return [{ name: 'gain', defaultValue: 1, minValue: 0, maxValue: 4 }];
  }

  constructor({ processorOptions: { buffer, enough } }) {
    super();
    this.ring = new Ring(buffer ?? new ArrayBuffer(Ring.bytes));
    this.enough = enough; // frames that must be there before it begins
    this.seam = new Seam();
    this.playing = this.sounding = false;
    this.gaps = this.blocks = 0;
    this.worker = null; // the port to the worker that writes, where no memory is shared
    this.kept = null; // of a recording: frames, and how many
    this.port.onmessage = ({ data }) => this.hear(data);
  }

  hear({ play, enough, record, worker }) {
    if (play !== undefined) this.playing = play;
    if (enough !== undefined) this.enough = enough;
    if (worker) { // the one before may still have something to say, which is not heard any more
      this.worker?.close();
      this.worker = worker;
      this.began = this.ring.written;
      worker.onmessage = ({ data }) => (data ? this.ring.write(data) : this.ring.clear());
    }
    if (record !== undefined) this.record(record);
  }

  record(on) {
    if (this.kept) this.port.postMessage({ recorded: this.kept.frames.slice(0, this.kept.count), last: !on });
    this.kept = on ? { frames: new Float32Array(KEPT), count: 0 } : null;
  }

  process(_, [[out]], { gain }) {
    const ready = this.playing && this.ring.ahead >= (this.sounding ? out.length : Math.max(out.length, this.enough));
    const got = ready ? this.ring.take(out) : 0;
    if (ready !== this.sounding) this.change(ready, out[0]);
    if (got < out.length) out.fill(0, got);
    this.seam.smooth(out);
    for (let i = 0; i < out.length; i++) out[i] *= gain.length > 1 ? gain[i] : gain[0];
    if (this.kept) this.keep(out);
    if (this.worker && this.blocks++ % TOLD === 0) this.worker.postMessage((this.ring.read - this.began) | 0);
    return true;
  }

  // It begins to sound, or ends: as it was told to, or since nothing is there.
  change(ready, first) {
    this.sounding = ready;
    if (!ready && this.playing) this.port.postMessage({ gaps: ++this.gaps });
    this.seam.join(ready ? first : 0);
  }

  keep(out) {
    if (this.kept.count + out.length > KEPT) this.record(true);
    this.kept.frames.set(out, this.kept.count);
    this.kept.count += out.length;
  }
}

registerProcessor('player', Player);
