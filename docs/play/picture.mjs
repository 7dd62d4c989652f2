// The spectrogram and the level, drawn as the page that plays over a network draws them.

import { Picture } from '../../sopilib/osc/page/picture.js';

const BANDS = 64, LOWEST = 50, HIGHEST = 12000; // Hz, bands of equal width in pitch
const EVERY = 50; // ms

export function draw(sound) {
  const picture = new Picture();
  let bins = null, wave = null;
  setInterval(() => {
    const { analyser, context, looped, playing } = sound;
    if (!analyser || (!playing && !looped && picture.level.value <= picture.level.min)) return;
    bins ??= new Uint8Array(analyser.frequencyBinCount);
    wave ??= new Float32Array(analyser.fftSize);
    analyser.getByteFrequencyData(bins);
    analyser.getFloatTimeDomainData(wave);
    const peak = wave.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    const level = Math.min(255, Math.max(0, (255 * (60 + 20 * Math.log10(peak + 1e-9))) / 60));
    picture.add(level, bands(bins, context.sampleRate / analyser.fftSize));
  }, EVERY);
}

// The loudest bin of each band; width: of a bin, in Hz.
function bands(bins, width) {
  const edge = (k) => (LOWEST * (HIGHEST / LOWEST) ** (k / BANDS)) / width;
  return Uint8Array.from({ length: BANDS }, (_, k) => {
    const low = Math.floor(edge(k)), high = Math.max(low + 1, Math.floor(edge(k + 1)));
    return bins.subarray(low, high).reduce((most, bin) => Math.max(most, bin), 0);
  });
}
