// A ranking while it is being made: groups of answers, best first; answers of one group tie.
// Pure values: every function returns new groups.

const without = (groups, answer) =>
  groups.map((group) => group.filter((other) => other !== answer)).filter((group) => group.length);

export const placed = (groups, answer) => groups.findIndex((group) => group.includes(answer));

export const unplaced = (groups, count) =>
  Array.from({ length: count }, (_, answer) => answer).filter(
    (answer) => placed(groups, answer) < 0,
  );

/** The next best, or tied with the last one. */
export function pick(groups, answer, tied) {
  const rest = without(groups, answer);
  return tied && rest.length
    ? [...rest.slice(0, -1), [...rest.at(-1), answer]]
    : [...rest, [answer]];
}

export const remove = without;

/** Tied with the answers of the group that holds `other`. */
export function tie(groups, answer, other) {
  if (answer === other) return groups;
  return without(groups, answer).map((group) =>
    group.includes(other) ? [...group, answer] : group,
  );
}

/** A rank of its own, before the group that now stands at `place`. */
export function insert(groups, answer, place) {
  const before = groups
    .slice(0, place)
    .flatMap((group) => group.filter((other) => other !== answer));
  const rest = without(groups, answer);
  const at = rest.filter((group) => before.includes(group[0])).length;
  return [...rest.slice(0, at), [answer], ...rest.slice(at)];
}

/** Half a rank up (-1) or down (+1): from a rank of its own into a tie, or out of one. */
export function shift(groups, answer, step) {
  const at = placed(groups, answer);
  if (at < 0) return step < 0 ? pick(groups, answer, false) : groups;
  if (groups[at].length > 1) return insert(groups, answer, step < 0 ? at : at + 1);
  const neighbour = groups[at + step];
  return neighbour ? tie(groups, answer, neighbour[0]) : groups;
}

/** The rank of each answer (1 the best, no rank left out), or null while two or more wait. */
export function ranks(groups, count, tied) {
  const rest = unplaced(groups, count);
  if (rest.length > 1 || groups.length === 0) return null;
  const full = rest.length ? pick(groups, rest[0], tied) : groups;
  return Array.from({ length: count }, (_, answer) => placed(full, answer) + 1);
}
