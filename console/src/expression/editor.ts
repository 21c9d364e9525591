/** Editor of an expression: colours, marks under problems, and completion from the service. */

import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap, completionStatus } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, insertNewline } from "@codemirror/commands";
import { Annotation, Compartment, EditorState, type Extension, RangeSetBuilder, StateEffect, StateField } from "@codemirror/state";
import {
  Decoration,
  type DecorationSet,
  EditorView,
  ViewPlugin,
  type ViewUpdate,
  WidgetType,
  drawSelection,
  keymap,
  placeholder,
  tooltips,
} from "@codemirror/view";
import { tokenize } from "../language/tokens";
import { completeExpression } from "./completion";
import { editorTheme } from "./editor_theme";
import type { ShownProblem } from "./findings";

/** Marks a change of the text that did not come from the keyboard. */
const fromOutside = Annotation.define<boolean>();
const setProblems = StateEffect.define<readonly ShownProblem[]>();

export interface EditorOptions {
  /** Called with the text after each change by the user. */
  readonly onChange: (text: string) => void;
  /** Called on Alt-Enter, which applies the first fix. */
  readonly onFix: () => boolean;
  /** Called on Escape, when no completion is open. */
  readonly onLeave: () => void;
}

export interface ExpressionEditor {
  readonly view: EditorView;
  readonly showText: (text: string) => void;
  readonly showProblems: (problems: readonly ShownProblem[]) => void;
  readonly describe: (name: string, emptyText: string) => void;
}

/** Open an editor in *host*. It stands in a shadow root, where its styles need no exception from the page's policy. */
export function openEditor(host: HTMLElement, text: string, options: EditorOptions): ExpressionEditor {
  const root = host.shadowRoot ?? host.attachShadow({ mode: "open" });
  const names = new Compartment();
  const view = new EditorView({ root, parent: root, state: EditorState.create({ doc: text, selection: { anchor: text.length }, extensions: [extensions(options), names.of([])] }) });
  return {
    view,
    showText: (next) => {
      if (next === view.state.doc.toString()) return;
      const changes = { from: 0, to: view.state.doc.length, insert: next };
      view.dispatch({ changes, selection: { anchor: next.length }, annotations: fromOutside.of(true) });
    },
    showProblems: (problems) => view.dispatch({ effects: setProblems.of(problems) }),
    describe: (name, emptyText) =>
      view.dispatch({
        effects: names.reconfigure([placeholder(emptyText), EditorView.contentAttributes.of({ "aria-label": name })]),
      }),
  };
}

function extensions(options: EditorOptions): Extension {
  return [
    history(),
    drawSelection(),
    closeBrackets(),
    autocompletion({ override: [completeExpression], icons: false, activateOnTypingDelay: 60, addToOptions: [] }),
    tooltips({ position: "fixed" }),
    keymap.of([
      { key: "Alt-Enter", run: options.onFix },
      ...completionKeymap,
      { key: "Escape", run: (view) => completionStatus(view.state) === null && (options.onLeave(), true) },
      { key: "Enter", run: () => true, shift: insertNewline },
      ...closeBracketsKeymap,
      ...defaultKeymap,
      ...historyKeymap,
    ]),
    EditorView.lineWrapping,
    EditorView.perLineTextDirection.of(true),
    EditorView.contentAttributes.of({ spellcheck: "false", autocapitalize: "off", autocorrect: "off" }),
    EditorView.updateListener.of((update) => {
      const isTyped = update.docChanged && !update.transactions.some((transaction) => transaction.annotation(fromOutside));
      if (isTyped) options.onChange(update.state.doc.toString());
    }),
    colours,
    problemMarks,
    editorTheme,
  ];
}

const colours = ViewPlugin.fromClass(
  class {
    decorations: DecorationSet;

    constructor(view: EditorView) {
      this.decorations = colourTokens(view.state);
    }

    update(update: ViewUpdate): void {
      if (update.docChanged) this.decorations = colourTokens(update.state);
    }
  },
  { decorations: (plugin) => plugin.decorations },
);

function colourTokens(state: EditorState): DecorationSet {
  const builder = new RangeSetBuilder<Decoration>();
  for (const token of tokenize(state.doc.toString())) {
    builder.add(token.start, token.end, Decoration.mark({ class: `token-${token.kind}` }));
  }
  return builder.finish();
}

const problemMarks = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(marks, transaction) {
    const effect = transaction.effects.findLast((candidate) => candidate.is(setProblems));
    return effect ? markProblems(effect.value, transaction.state.doc.length) : marks.map(transaction.changes);
  },
  provide: (field) => EditorView.decorations.from(field),
});

function markProblems(problems: readonly ShownProblem[], length: number): DecorationSet {
  const ranges = problems.flatMap((problem) => {
    if (problem.from === null || problem.to === null || problem.from > length) return [];
    const kind = problem.isError ? "error" : "warning";
    const to = Math.min(problem.to, length);
    return problem.from < to
      ? [Decoration.mark({ class: `problem-${kind}` }).range(problem.from, to)]
      : [Decoration.widget({ widget: new Caret(kind), side: 1 }).range(problem.from)];
  });
  return Decoration.set(ranges, true);
}

/** Caret at a place where something is missing. */
class Caret extends WidgetType {
  constructor(readonly kind: string) {
    super();
  }

  override eq(other: Caret): boolean {
    return other.kind === this.kind;
  }

  toDOM(): HTMLElement {
    const caret = document.createElement("span");
    caret.className = `problem-caret problem-${this.kind}`;
    caret.setAttribute("aria-hidden", "true");
    caret.textContent = " ";
    return caret;
  }
}
