// What the worker writes and the worklet reads, in memory that both see, or in the worklet's own where a page has no such memory.

const ROOM = 1 << 17; // frames

export class Ring {
  static bytes = 16 + 4 * ROOM;

  // An ArrayBuffer or a SharedArrayBuffer of so many bytes.
  constructor(buffer) {
    this.counts = new Int32Array(buffer, 0, 3); // frames written, read, and passed over by who writes, modulo 2^32
    this.frames = new Float32Array(buffer, 16, ROOM);
  }

  get written() {
    return Atomics.load(this.counts, 0);
  }

  get read() {
    const read = Atomics.load(this.counts, 1), from = Atomics.load(this.counts, 2);
    return ((from - read) | 0) > 0 ? from : read;
  }

  // Frames that wait to be read.
  get ahead() {
    const read = this.read; // first: what is written meanwhile only adds to it
    return (this.written - read) >>> 0;
  }

  write(frames) {
    const at = this.written;
    for (let i = 0; i < frames.length; i++) this.frames[(at + i) & (ROOM - 1)] = frames[i];
    Atomics.store(this.counts, 0, at + frames.length);
  }

  // Fills what there is into `into`, and gives how many frames these are.
  take(into) {
    const at = this.read, count = Math.min(into.length, this.ahead);
    for (let i = 0; i < count; i++) into[i] = this.frames[(at + i) & (ROOM - 1)];
    Atomics.store(this.counts, 1, at + count);
    return count;
  }

  // What was written is not to be read any more.
  clear() {
    Atomics.store(this.counts, 2, this.written);
  }
}

// The same for a worker that shares no memory with the worklet: a port, on which the worklet tells what it has read.
export class Sender {
  constructor(port) {
    this.port = port;
    this.sent = this.read = 0;
    port.onmessage = ({ data }) => (this.read = data);
  }

  get ahead() {
    return (this.sent - this.read) >>> 0;
  }

  write(frames) {
    this.sent = (this.sent + frames.length) | 0;
    this.port.postMessage(frames.slice());
  }

  clear() {
    this.port.postMessage(null);
  }
}

// One sound goes over into another without a step: what is missing at the seam dies away within some milliseconds.
export class Seam {
  last = 0;
  rest = 0;

  // `first` is the next frame of the new sound.
  join(first) {
    this.rest = this.last - first;
  }

  smooth(frames) {
    for (let i = 0; i < frames.length && this.rest; i++) {
      frames[i] += this.rest;
      this.rest *= 0.99;
      if (Math.abs(this.rest) < 1e-6) this.rest = 0;
    }
    this.last = frames[frames.length - 1];
  }
}
