// What the model is to hear: a sound file, or the microphone while its button is pressed.

import { toggle } from '../../sopilib/osc/page/controls.js';

const AS_IT_IS = { audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false } };

// hear(name, Blob); quiet(): nothing is to sound while the microphone listens; line(sentence)
export function ears({ hear, quiet, line }) {
  const file = document.getElementById('sound');
  file.addEventListener('change', () => {
    const [chosen] = file.files;
    file.value = ''; // so that the same file can be chosen again
    if (chosen) hear(chosen.name, chosen);
  });

  let recorder = null; // the promise of one
  const listen = toggle(document.getElementById('listen'), async (on) => {
    listen.show(on);
    if (!on) return (await recorder)?.stop();
    try {
      quiet();
      recorder = microphone((heard) => hear('you', heard));
      await recorder;
      line('it listens: press again, and it plays on');
    } catch (failure) {
      recorder = null;
      listen.show(false);
      line(`no microphone: ${failure.message}`);
    }
  });
}

// Records until its `stop` is called, which gives what was heard to `done`. There is something of it once this resolves, so that
// it can be decoded however short the button is pressed.
async function microphone(done) {
  const stream = await navigator.mediaDevices.getUserMedia(AS_IT_IS), recorder = new MediaRecorder(stream), parts = [];
  recorder.onstop = () => {
    for (const track of stream.getTracks()) track.stop();
    done(new Blob(parts));
  };
  return new Promise((begun) => {
    recorder.ondataavailable = ({ data }) => {
      parts.push(data);
      if (data.size) begun(recorder);
    };
    recorder.start(100); // ms from one piece to the next
  });
}
