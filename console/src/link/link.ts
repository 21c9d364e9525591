/** What the link holds: everything that one needs to see the same page. */

export interface Link {
  /** Name of the index. */
  readonly index: string;
  /** View of the audience, or another page. */
  readonly view: string;
  /** Expression, as it was typed. */
  readonly expr: string;
  /** Moment of the question; empty is now. */
  readonly asOf: string;
  /** Expression that the audience is compared with; empty is everybody. */
  readonly against: string;
  /** What a view keeps for itself, by names that no other view uses. */
  readonly params: Readonly<Record<string, string>>;
}

export const DEFAULT_VIEW = "funnel";
const EMPTY: Link = { index: "", view: DEFAULT_VIEW, expr: "", asOf: "", against: "", params: {} };

/** Return the link of a hash such as `#/devices/profile?expr=male`. What is missing has its default. */
export function parseLink(hash: string): Link {
  const [path = "", query = ""] = splitOnce(hash.replace(/^#\/?/, ""), "?");
  const [index = "", view = ""] = path.split("/").map(decodePart);
  const { expr = "", as_of: asOf = "", against = "", ...params } = Object.fromEntries(new URLSearchParams(query));
  return { ...EMPTY, index, view: view || DEFAULT_VIEW, expr, asOf, against, params };
}

/** Return the hash of a link, without what has its default. */
export function formatLink(link: Link): string {
  const query = new URLSearchParams();
  const values = { expr: link.expr, as_of: link.asOf, against: link.against, ...link.params };
  for (const [name, value] of Object.entries(values)) {
    if (value) query.set(name, value);
  }
  const path = `#/${encodeURIComponent(link.index)}/${encodeURIComponent(link.view)}`;
  return query.size ? `${path}?${query}` : path;
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + separator.length)];
}

function decodePart(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // a link that was cut in the middle of a character
  }
}
