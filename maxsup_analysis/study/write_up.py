"""The report of a study: the words follow the numbers."""

from collections.abc import Mapping, Sequence

from maxsup_analysis.contrasts import JOINING, Interval
from maxsup_analysis.effects import Design, Effect
from maxsup_analysis.labels import clean_label
from maxsup_analysis.metrics import METRICS
from maxsup_analysis.report import Plate, Report
from maxsup_analysis.report.document import Block, Bullets, Paragraph, Section, Table, shown
from maxsup_analysis.report.parts import READING, appendix, by_family, prose
from maxsup_analysis.rounding import plain, plus_minus, span
from maxsup_analysis.study.asking import CORRUPTED, TRANSFER
from maxsup_analysis.study.description import SEED, Factor, Study
from maxsup_analysis.study.results import Results

# More columns than this are not legible on a page: combinations then stand below each other.
MOST_COLUMNS = 6
EFFECTS = (
    "The difference of each level from the baseline of its factor, averaged over the combinations of the other "
    "factors, which weigh equally; with its 95 % interval, over test samples and training runs."
)


def study_report(results: Results, plates: Sequence[Plate]) -> Report:
    """The report of a study whose cells are, or are not, all done."""
    study = results.study
    first = study.measure.splits[0]
    runs = [result.parts[first] for result in results.cells if first in result.parts]
    metrics = list(dict.fromkeys(name for part in results.designs for name in results.metrics(part)))
    return Report(
        shown(study.report.title or study.title),
        _subtitle(results),
        [
            Section(
                "What was studied", [*_description(study.description), *_design(results), *_parts(study)]
            ),
            Section("Findings", [Bullets(_findings(results)), Paragraph(READING)]),
            *(Section(f"Measurements: {part}", _measurements(results, part)) for part in results.designs),
            Section("Figures", plates),
            *appendix([METRICS[name] for name in metrics], runs),
        ],
    )


def _subtitle(results: Results) -> str:
    done = sum(result.failure is None for result in results.cells)
    plan = results.study.plan
    words = f"{plan.data}, {plan.model}: {done} of {len(results.cells)} runs"
    return shown(words)


def _description(text: str) -> list[Block]:
    return [Paragraph(" ".join(part.split())) for part in text.split("\n\n") if part.strip()]


def _design(results: Results) -> list[Block]:
    """What was varied, what was the same, and what is missing."""
    study = results.study
    rows = [[shown(factor.name), shown(_levels(factor))] for factor in study.factors]
    seeds = {result.cell.plan.seed for result in results.cells}
    if all(factor.name != SEED for factor in study.factors):
        rows.append([SEED, ", ".join(map(str, sorted(seeds)))])
    failed = [
        f"{clean_label(result.cell.name, 80)} is not in the numbers: {result.failure}"
        for result in results.cells
        if result.failure
    ]
    return [
        Table("What was varied; the first level of a factor is its baseline.", ["factor", "levels"], rows),
        *prose(failed),
    ]


def _parts(study: Study) -> list[Block]:
    """What the parts are that a name does not explain."""
    measure, words = study.measure, []
    if measure.corruptions:
        words.append(
            f"{CORRUPTED}: the mean over {len(measure.kinds)} kinds of corruption of the split "
            f"{measure.splits[0]}, each in the severities {', '.join(map(str, measure.severities))}"
        )
    if measure.transfer:
        words.append(f"{TRANSFER}DATA: the accuracy of a linear classifier on the features of other data")
    return list(prose(words))


def _levels(factor: Factor) -> str:
    return "; ".join(
        level if list(map(str, sets.values())) == [level] else f"{level} ({_settings(sets)})"
        for level, sets in factor.levels.items()
    )


def _settings(sets: Mapping[str, object]) -> str:
    return ", ".join(f"{key} {value}" for key, value in sets.items())


def _findings(results: Results) -> list[str]:
    """One sentence a part, metric and factor, made of verdicts and nothing else."""
    several = len(results.designs) > 1
    return [
        f"{f'{part}: ' if several else ''}{METRICS[metric].label} ({metric}), by {factor}: "
        f"{'; '.join(map(_finding, effects))}."
        for part, design in results.designs.items()
        for metric in _headlines(results, part)
        for factor in design.factors
        if (effects := design.effects(metric, factor))
    ] or ["Nothing was varied but the seed, so that there is nothing to compare."]


def _finding(effect: Effect) -> str:
    level, baseline, interval = (
        clean_label(effect.level, 30),
        clean_label(effect.baseline, 30),
        effect.interval,
    )
    if interval.verdict == "undefined":
        return f"{level} undefined ({interval.reason})"
    words = f"{level} {interval.verdict} {JOINING[interval.verdict]} {baseline}"
    if interval.verdict in ("equal", "not distinguishable"):
        return words
    return f"{words} by {plain(abs(interval.value), interval.half_width)}"


def _headlines(results: Results, part: str) -> list[str]:
    """The metrics that the study wants in sentences and figures, as far as the part has them."""
    there = results.metrics(part)
    return [name for name in results.study.report.metrics if name in there]


def _measurements(results: Results, part: str) -> list[Block]:
    design = results.designs[part]
    tables: list[Block] = [_means(results, part)]
    for factor, levels in design.factors.items():
        if len(levels) > 1:
            tables.append(_effects(design, factor, results.metrics(part)))
    return tables


def _means(results: Results, part: str) -> Table:
    """Metrics by combinations, or combinations by headline metrics where there are many."""
    design = results.designs[part]
    combinations = [dict(combination) for combination in design.combinations]
    names = [combination_name(levels, design.factors) for levels in combinations]
    caption = "Means over seeds, each with how far its 95 % interval reaches."
    if len(names) <= MOST_COLUMNS:
        rows = by_family(
            results.metrics(part), lambda metric: [_mean(design, metric, levels) for levels in combinations]
        )
        return Table(caption, ["metric", *names], rows)
    headlines = _headlines(results, part)[:MOST_COLUMNS]
    return Table(
        f"{caption} All metrics are in means.csv.",
        ["run", *headlines],
        [
            [name, *(_mean(design, metric, levels) for metric in headlines)]
            for name, levels in zip(names, combinations, strict=True)
        ],
    )


def combination_name(levels: Mapping[str, str], factors: Mapping[str, Sequence[str]]) -> str:
    """Levels as a reader wants them: without the factors that have one level, and without their names if one varies."""
    varied = [factor for factor, known in factors.items() if len(known) > 1] or list(factors)[:1]
    words = [levels[factor] if len(varied) == 1 else f"{factor} {levels[factor]}" for factor in varied]
    return clean_label(", ".join(words) or "all runs", 40)


def _mean(design: Design, metric: str, levels: Mapping[str, str]) -> str:
    interval = design.mean(metric, levels)
    return plus_minus(interval) if interval is not None else "–"


def _effects(design: Design, factor: str, metrics: Sequence[str]) -> Table:
    baseline, *others = design.factors[factor]
    columns = ["metric", *(f"{clean_label(level, 24)} − {clean_label(baseline, 24)}" for level in others)]

    def cells(metric: str) -> list[str]:
        found: dict[str, Interval] = {
            effect.level: effect.interval for effect in design.effects(metric, factor)
        }
        return [_effect(found.get(level)) for level in others]

    return Table(f"{clean_label(factor, 40)}. {EFFECTS}", columns, by_family(metrics, cells))


def _effect(interval: Interval | None) -> str:
    if interval is None:
        return "not run"
    mark = {"lower": " ↓", "higher": " ↑"}.get(interval.verdict, "")
    value, space, ends = (span(interval) + mark).partition(" ")
    # In a narrow column the interval stands below its value, whole.
    return value + space + ends.replace(" ", "\u00a0")
