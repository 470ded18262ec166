"""ActCooLR: learning rates that make a prescribed share of activation patterns change (P 3.3.2 and A.4, corrected)."""

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from scaleinv.patterns.distance import share
from scaleinv.schedules.base import Controller, Progress, Schedule, require
from scaleinv.symmetry.members import PerMember

if TYPE_CHECKING:
    from scaleinv.probes.base import Scene
    from scaleinv.training.trial import Trial

# Shares closer than this to 0 or 1 say on which side of the transition a learning rate is, but not how far from it.
MARGIN = 1e-10
# Below this target a probe that sees no change is no reason to fit again.
QUIET = 0.01
# How far beyond its range a fit may look where the range itself does not reach the transition, in log lr.
BEYOND = math.log(1e6)
Search = Generator[float, float, tuple[float, float] | None]


@dataclass(frozen=True, kw_only=True)
class ActCooLR(Schedule):
    """Cool the activation patterns down: prescribe the share D of patterns that a step changes, and keep to it.

    A step at the learning rate ``eta`` changes ``D(eta) = Phi((ln eta - mu) / sigma)`` of the batch's patterns,
    averaged over the layers; the schedule inverts that for the target ``D(t) = 1 - 2^-T(t)``, with the temperature
    ``T(t)`` cooled from ``temperature`` to 0. A measurement costs one forward pass. ``mu`` is corrected by one every
    ``every`` steps, and mu and sigma are fitted anew at the start and after large errors.

    All learning rates are multiples of the grid's: with ``optimizer.lr=1`` they are those of P. So a loss that is k
    times as large trains alike with a rate divided by k.

    The loop has no brake: where too hot a start kills nodes, less changes, and the learning rate rises further. P's
    advice is to lower the temperature until training is stable.

    Attributes:
        temperature: temperature at the start, in bits, or one per member; 3.17 changes 8 of 9 patterns.
        gamma: power of the cooling; larger cools faster at first.
        cooling: ``linear``, ``T (1 - t)^gamma`` with the share t of the run, or ``cosine``,
            ``T ((1 + cos pi t) / 2)^gamma``.
        mode: ``temperature``, or ``probability``, which cools D itself from 0.99, as A.4 of P does.
        every: steps from one measurement to the next.
        targets: shares at which a fit measures, ascending.
        mu: first guess of mu.
        sigma: first guess of sigma.
        error: change of mu above which an error counts as large.
        errors: number of large errors after which mu and sigma are fitted anew.
        jump: factor from one learning rate of a search to the next.
        passes: most forward passes of a fit.
        lowest: lowest learning rate.
        highest: a member that would need a higher one is given up: its learning rate is NaN.
        range: lowest and highest learning rate between which a fit looks for the transition first.
    """

    temperature: PerMember = 3.17
    gamma: float = 1.0
    cooling: str = "linear"
    mode: str = "temperature"
    every: int = 8
    targets: list[float] = field(default_factory=lambda: [0.25, 0.5, 0.75])
    mu: float = -1.0
    sigma: float = 1.0
    error: float = 2.5
    errors: int = 5
    jump: float = 2.0
    passes: int = 9
    lowest: float = 1e-10
    highest: float = 1e10
    range: list[float] = field(default_factory=lambda: [1e-4, 1e2])

    def __post_init__(self) -> None:
        """Check the options."""
        require(self.cooling in ("linear", "cosine"), f"cooling must be linear or cosine, got {self.cooling}")
        require(
            self.mode in ("temperature", "probability"), f"mode must be temperature or probability, got {self.mode}"
        )
        for name in ("temperature", "gamma", "sigma", "lowest"):
            values = torch.as_tensor(getattr(self, name))
            fits = bool(((values > 0) & values.isfinite()).all())
            require(fits, f"{name} must be above 0 and finite, got {getattr(self, name)}")
        ascending = all(a < b for a, b in zip([0, *self.targets], [*self.targets, 1], strict=True))
        require(bool(self.targets) and ascending, f"targets must ascend between 0 and 1, got {self.targets}")
        require(self.every >= 1 and self.errors >= 1, "every and errors must be at least 1")
        require(self.passes > len(self.targets), f"passes must be above the number of targets, got {self.passes}")
        require(self.jump > 1, f"jump must be above 1, got {self.jump}")
        fits = len(self.range) == 2 and 0 < self.range[0] < self.range[1]
        require(fits, f"range must be two learning rates, ascending from above 0, got {self.range}")

    def factor(self, progress: Progress) -> Tensor | None:
        """Return None: the loop is closed, see :meth:`attach`."""
        return None

    def attach(self, scene: "Scene") -> "ActCooLRController":
        """Begin with the guesses; see :meth:`Schedule.attach`."""
        scene.evaluator.widths(scene.weights)  # raises if there is no activation
        return ActCooLRController(self, scene)

    def target(self, done: float) -> Tensor:
        """Return the share of patterns that a step should change after the share ``done`` of the run (P, eq. 3.45).

        Returns:
            Float64, ``()``, or ``(members,)`` if they have temperatures of their own.
        """
        left = 1 - done if self.cooling == "linear" else (1 + math.cos(math.pi * done)) / 2
        start = torch.as_tensor(self.temperature, dtype=torch.float64)
        if self.mode == "probability":
            return torch.full_like(start, 0.99 * left**self.gamma)
        return share(start * left**self.gamma).clamp(max=0.99)

    def rate(self, target: float, mu: float, sigma: float) -> float:
        """Invert the model: the learning rate that changes the share ``target``; NaN where it is above the highest."""
        if target <= 0:
            return self.lowest
        log = mu + sigma * probit(target)
        return math.exp(max(log, math.log(self.lowest))) if log <= math.log(self.highest) else math.nan

    def search(self, mu: float, sigma: float) -> Search:
        """Fit the model with few measurements: a generator of learning rates that is sent the measured shares.

        The targets come first. If all shares are 0 or 1, the transition is looked for by bisection, in place of P's
        grid of 25. Then the search goes on outwards, upwards until a share reaches the highest target, and downwards
        until one reaches the lowest (P's listing has both tests inverted and never brackets).

        Args:
            mu: present mu.
            sigma: present sigma.

        Yields:
            Learning rates to measure.

        Returns:
            The new mu and sigma, or None if no measurement was of use.
        """
        seen: list[tuple[float, float]] = []
        low, high = map(math.log, self.range)
        limits = math.log(self.lowest), math.log(self.highest)
        for target in self.targets:
            yield from _measure(seen, mu + sigma * probit(target), limits)
        while len(seen) < self.passes and (log := self._next(seen, low, high)) is not None:
            if not limits[0] <= log <= limits[1]:
                break
            yield from _measure(seen, log, limits)
        return fitted(seen, sigma)

    def _next(self, seen: Sequence[tuple[float, float]], low: float, high: float) -> float | None:
        """Return the next log learning rate of a search, or None at its end."""
        inside = sorted(useful(seen), key=lambda pair: pair[1])
        step = math.log(self.jump)
        if not inside:
            cold = [log for log, changed in seen if changed <= MARGIN]
            hot = [log for log, changed in seen if changed > MARGIN]
            above = max(cold, default=min(low, min(hot, default=low) - BEYOND))
            below = min(hot, default=max(high, above + BEYOND))
            return (above + below) / 2 if above < below else None
        logs, shares = zip(*seen, strict=True)
        if max(shares) < self.targets[-1]:
            return max(logs) + step
        if min(shares) > self.targets[0]:
            return min(logs) - step
        if len(inside) < 3:  # towards the middle of the transition
            return inside[0][0] + (step if inside[0][1] < 0.5 else -step) / (1 + len(inside))
        return None


def _measure(seen: list[tuple[float, float]], log: float, limits: tuple[float, float]) -> Generator[float, float, None]:
    log = min(max(log, limits[0]), limits[1])
    seen.append((log, (yield math.exp(log))))


def probit(probability: float) -> float:
    """Return the quantile of the standard normal distribution, ``sqrt(2) erfinv(2 p - 1)``."""
    return NormalDist().inv_cdf(probability)


def useful(seen: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the measurements with a share strictly between 0 and 1."""
    return [(log, changed) for log, changed in seen if MARGIN < changed < 1 - MARGIN]


def fitted(seen: Sequence[tuple[float, float]], sigma: float) -> tuple[float, float] | None:
    """Fit ``ln eta = mu + sigma probit(D)`` by least squares; keep ``sigma`` if the slope would not be positive.

    Args:
        seen: pairs of log learning rate and share.
        sigma: present sigma.

    Returns:
        Mu and sigma, or None without a useful measurement.
    """
    inside = useful(seen)
    if not inside:
        return None
    logs, quantiles = [log for log, _ in inside], [probit(changed) for _, changed in inside]
    middle, centre = sum(logs) / len(logs), sum(quantiles) / len(logs)
    spread = sum((q - centre) ** 2 for q in quantiles)
    slope = sum((q - centre) * (log - middle) for q, log in zip(quantiles, logs, strict=True)) / spread if spread else 0
    sigma = slope if slope > 0 else sigma
    return middle - sigma * centre, sigma


class ActCooLRController(Controller):
    """See :class:`ActCooLR`.

    Arrays: ``actcoolr/lr``, ``target``, ``mu``, ``sigma`` and ``measured`` (the share, NaN where it was not measured),
    ``(members, steps)`` each, and ``actcoolr/passes``, the number of forward passes so far.
    """

    def __init__(self, options: ActCooLR, scene: "Scene") -> None:
        """Begin with the guesses; make room for the whole run."""
        self._options, self._steps = options, scene.epochs * scene.steps_per_epoch
        members = len(scene.members)
        self._mu = torch.full((members,), options.mu, dtype=torch.float64)
        self._sigma = torch.full((members,), options.sigma, dtype=torch.float64)
        self._errors = torch.zeros(members, dtype=torch.int64)
        # Members whose last fit found no transition, of a dead network for example: no further fit until one shows.
        self._is_lost = torch.zeros(members, dtype=torch.bool)
        names = ("lr", "target", "mu", "sigma", "measured", "passes")
        self._log = {name: torch.full((members, self._steps), math.nan, dtype=torch.float64) for name in names}
        self._passes = torch.zeros((), dtype=torch.int64)

    def choose(self, trial: "Trial") -> Tensor:
        """Invert the model for the target; measure every few steps; see :meth:`Controller.choose`."""
        step, options = int(trial.progress.step), self._options
        if step >= self._steps:
            raise ValueError("training is longer than the cell's epochs, over which ActCooLR cools")
        target = options.target(step / self._steps).cpu().expand_as(self._mu)
        measured = torch.full_like(self._mu, math.nan)
        if step == 0:
            self._fit(trial, range(len(self._mu)))
        rates = self._rates(target)
        lrs = rates * trial.lrs.cpu()
        if step and step % options.every == 0:
            self._give_up(trial)
            measured = self._shares(trial, rates)
            self._correct(trial, target, rates, measured)
        self._passes += trial.passes
        now = {"lr": lrs, "target": target, "mu": self._mu, "sigma": self._sigma, "measured": measured}
        for name, values in {**now, "passes": self._passes}.items():
            self._log[name][:, step] = values
        return lrs.to(trial.lrs)

    def _rates(self, target: Tensor) -> Tensor:
        members = zip(target.tolist(), self._mu.tolist(), self._sigma.tolist(), strict=True)
        return torch.tensor([self._options.rate(*member) for member in members], dtype=torch.float64)

    def _shares(self, trial: "Trial", rates: Tensor) -> Tensor:
        """Measure the share of patterns that a step would change, averaged over the layers; one forward pass."""
        lrs = rates.to(trial.lrs) * trial.lrs
        return trial.changes(lrs[None]).shares[0].mean(-1).cpu()

    def _give_up(self, trial: "Trial") -> None:
        """Measure members no more whose outputs are not finite."""
        lost = ~trial.point.logits.flatten(1).isfinite().all(1).cpu()
        self._mu[lost] = math.nan

    def _correct(self, trial: "Trial", targets: Tensor, rates: Tensor, measured: Tensor) -> None:
        """Put every member's curve through the measured point; fit anew where that is impossible or errs too often."""
        again = []
        members = zip(targets.tolist(), rates.tolist(), measured.tolist(), strict=True)
        for i, (target, rate, changed) in enumerate(members):
            if math.isnan(rate) or target < 1 / trial.samples or (changed == 0 and target < QUIET):
                continue
            if not MARGIN < changed < 1 - MARGIN:
                again += [] if self._is_lost[i] else [i]
                continue
            self._is_lost[i] = False
            mu = math.log(rate) - float(self._sigma[i]) * probit(changed)
            self._errors[i] += abs(mu - float(self._mu[i])) > self._options.error
            if self._errors[i] >= self._options.errors:
                again.append(i)
            else:
                self._mu[i] = mu
        self._fit(trial, again)

    def _fit(self, trial: "Trial", members: Sequence[int]) -> None:
        """Run the searches of some members side by side: one forward pass measures one learning rate of each."""
        searches = {i: self._options.search(float(self._mu[i]), float(self._sigma[i])) for i in members}
        asked = {i: next(search) for i, search in searches.items()}
        rates = self._rates(torch.full_like(self._mu, 0.5))
        while asked:
            for i, rate in asked.items():
                rates[i] = rate
            measured = self._shares(trial, rates).tolist()
            for i in list(asked):
                try:
                    asked[i] = searches[i].send(measured[i])
                except StopIteration as ended:
                    del asked[i]
                    self._errors[i] = 0
                    self._is_lost[i] = ended.value is None
                    if ended.value is not None:
                        self._mu[i], self._sigma[i] = ended.value

    def tensors(self) -> dict[str, Tensor]:
        """Return the model, and what was logged; see :meth:`Controller.tensors`."""
        state = {"mu": self._mu, "sigma": self._sigma, "errors": self._errors, "is_lost": self._is_lost}
        state["passes"] = self._passes
        return state | {f"log/{name}": values for name, values in self._log.items()}

    def arrays(self) -> dict[str, Tensor]:
        """Return the whole log; see :meth:`Controller.arrays`."""
        return {f"actcoolr/{name}": values for name, values in self._log.items()}
