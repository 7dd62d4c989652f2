// A sound file of what was recorded: Float32Arrays of one channel, at `rate` Hz -> Blob, 32-bit float.
export function wav(parts, rate) {
  const frames = parts.reduce((sum, part) => sum + part.length, 0);
  const head = new DataView(new ArrayBuffer(58));
  const text = (at, word) => [...word].forEach((letter, i) => head.setUint8(at + i, letter.charCodeAt(0)));
  const words = (at, ...given) => given.forEach((word, i) => head.setUint32(at + 4 * i, word, true));
  text(0, 'RIFF    WAVEfmt ');
  words(4, 50 + 4 * frames);
  words(16, 18, 0x10003, rate, 4 * rate, 0x200004, 0); // float, one channel, 4 bytes a frame
  text(38, 'fact');
  words(42, 4, frames);
  text(50, 'data');
  words(54, 4 * frames);
  return new Blob([head, ...parts], { type: 'audio/wav' });
}
