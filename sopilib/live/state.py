"""What a performer is set to."""

from __future__ import annotations

from typing import Any

from sopilib.live.commands import COMMANDS, KEPT

__all__ = ["State"]


class State:
    """The present value of everything that messages set. Values are those of the command table, in its units."""

    def __init__(self, **given: Any) -> None:
        self.model: str | None = None
        """The name by which the model was loaded that plays, None if there is none."""
        self.sample_rate = 0
        """Of that model, in Hz."""
        self.model2: str | None = None
        """The name by which the second model was loaded."""
        self.playing = False
        self.listening = ""
        """What sounds while the model listens: silence, input or old; empty if it doesn't listen."""
        self.usual: dict[str, Any] = {c.name: c.usual for c in COMMANDS.values() if c.usual is not None} | given
        """The values that it was made with."""
        self.values = dict(self.usual)
        """The value of each message that has one, for all voices together."""
        self.beat: int | None = None
        """Host frame of the last `beat`, None if there was none."""
        self.features: dict[int, float] = {}
        """The conditioning values that were set, counted from 1."""
        self.voice: dict[int, dict[str, Any]] = {}
        """For a voice, counted from 1, the values that were set for it alone."""
        self.chosen: set[str] = set()
        """The names of messages that have set something: what a model's file says of them counts no more."""
        self.said: dict[str, float] = {}
        """What the file of the model says of how it is played, by the names of messages."""

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def __getattr__(self, name: str) -> Any:
        """`state.min_p` is `state["min-p"]`."""
        try:
            return self.__dict__["values"][name.replace("_", "-")]
        except KeyError:
            raise AttributeError(f"State has no attribute {name!r}") from None

    def set(self, name: str, value: Any, voice: int = 0) -> None:
        """Remembers what a message has set, for one voice or (0) for all of them."""
        self.chosen.add(name)
        if voice:
            self.voice.setdefault(voice, {})[name] = value
            return
        self.values[name] = value
        if COMMANDS[name].voice and not COMMANDS[name].apart:
            self.forget_own(name)

    def forget_own(self, name: str) -> None:
        """Forgets what was set for single voices: they are as all are."""
        for own in self.voice.values():
            own.pop(name, None)

    @property
    def own(self) -> dict[str, float]:
        """What the model's own setting holds: what its file says and no message has set."""
        return {name: value for name, value in self.said.items() if name not in self.chosen}

    def kept(self) -> dict[str, Any]:
        """What is worth keeping with a patch: what is always kept, then what is not as it usually is, or not as the
        model would have it. Of what the model's own setting holds only the names are, as `own`. What is set for single
        voices is there as voice-2-temperature, a conditioning value as feature-1."""
        names = [name for name in KEPT if name not in self.own]
        always = [name for name in names if COMMANDS[name].always]
        others = [name for name in names if not COMMANDS[name].always]
        changed = [name for name in others if self.values[name] != COMMANDS[name].usual or name in self.said]
        own = {"own": " ".join(self.own)} if self.own else {}
        voices = {f"voice-{v}-{name}": value for v in sorted(self.voice) for name, value in self.voice[v].items()}
        features = {f"feature-{number}": value for number, value in self.features.items()}
        return {name: self.values[name] for name in (*always, *changed)} | features | voices | own
