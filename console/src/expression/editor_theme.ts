/** Styles of the editor, by the custom properties of the page: these reach into its shadow root. */

import { EditorView } from "@codemirror/view";

export const editorTheme = EditorView.theme({
  "&": { fontSize: "var(--expression-size)", color: "var(--text)", background: "transparent" },
  "&.cm-focused": { outline: "none" },
  ".cm-content": { fontFamily: "var(--mono)", padding: "9px 0", caretColor: "var(--text)", lineHeight: "1.5" },
  ".cm-line": { padding: "0 12px" },
  ".cm-scroller": { maxHeight: "32vh", fontFamily: "var(--mono)" },
  ".cm-cursor": { borderLeftColor: "var(--text)", borderLeftWidth: "2px" },
  ".cm-placeholder": { color: "var(--muted)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { background: "var(--selection)" },
  ".token-keyword, .token-operator": { color: "var(--token-keyword)", fontWeight: "600" },
  ".token-attribute": { color: "var(--token-attribute)" },
  ".token-function": { color: "var(--token-attribute)" },
  ".token-number, .token-string": { color: "var(--token-value)" },
  ".token-segment": { color: "var(--token-segment)" },
  ".token-comment": { color: "var(--muted)", fontStyle: "italic" },
  ".token-punctuation, .token-bracket": { color: "var(--muted)" },
  ".problem-error": { textDecoration: "underline wavy var(--error)", textUnderlineOffset: "4px" },
  ".problem-warning": { textDecoration: "underline wavy var(--warning)", textUnderlineOffset: "4px" },
  ".problem-caret": { display: "inline-block", width: "0.8ch", borderBottom: "3px solid var(--error)", textDecoration: "none" },
  ".cm-tooltip": { background: "var(--surface)", border: "1px solid var(--line)", borderRadius: "8px", boxShadow: "var(--shadow)", overflow: "hidden", zIndex: "30" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul": { fontFamily: "var(--mono)", fontSize: "13px", maxHeight: "40vh", minWidth: "min(20rem, 90vw)", maxWidth: "min(40rem, 94vw)" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li": { display: "flex", gap: "24px", justifyContent: "space-between", padding: "4px 12px", lineHeight: "1.5" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li[aria-selected]": { background: "var(--accent)", color: "var(--on-accent)" },
  ".cm-completionLabel": { overflow: "hidden", textOverflow: "ellipsis" },
  ".cm-completionMatchedText": { textDecoration: "none", fontWeight: "700" },
  ".cm-completionDetail": { fontStyle: "normal", marginLeft: "auto", fontVariantNumeric: "tabular-nums", fontFamily: "var(--sans)", color: "var(--muted)" },
  "li[aria-selected] .cm-completionDetail": { color: "var(--on-accent)" },
});
