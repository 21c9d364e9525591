/** Header: the index, the pages, and the switches of language, theme and key. */

import { label, language } from "../labels/label";
import { followLink, link } from "../link/current";
import { formatLink } from "../link/link";
import { needsKey } from "../server/client";
import { key } from "../server/key";
import { enterKey, indexes, isAllowed, session } from "../server/session";
import { chooseNextTheme, theme } from "../theme";
import { PAGES, VIEWS } from "../views";
import { isHelpOpen } from "./key_help";
import { isPanelOpen } from "../panel/side_panel";

export function Header() {
  return (
    <header class="header">
      <h1>audience</h1>
      {!needsKey.value && (
        <>
          <IndexChooser />
          <Pages />
        </>
      )}
      <div class="switches">
        {session.value && !isAllowed("write") && <span class="chip">{label("read_only")}</span>}
        {key.value && session.value && (
          <button type="button" class="quiet" title={label("key.forget")} onClick={() => void enterKey("")}>
            {session.value.name}
          </button>
        )}
        <button type="button" class="quiet panel-button" onClick={() => (isPanelOpen.value = true)}>
          {label("panel")}
        </button>
        <button type="button" class="quiet" lang={language.value === "en" ? "zh-CN" : "en"} onClick={() => (language.value = language.value === "en" ? "zh" : "en")}>
          {label("language.other")}
        </button>
        <button type="button" class="quiet" onClick={chooseNextTheme} title={label("theme")}>
          {label(`theme.${theme.value}`)}
        </button>
        <button type="button" class="quiet" onClick={() => (isHelpOpen.value = true)} title={label("keys.help")} aria-label={label("keys.help")}>
          ?
        </button>
      </div>
    </header>
  );
}

function IndexChooser() {
  const names = indexes.value?.map((entry) => entry.name) ?? [];
  const { index } = link.value;
  const shown = names.includes(index) || !index ? names : [index, ...names];
  return (
    <label class="index-chooser">
      <span class="hidden">{label("index")}</span>
      <select value={index} onChange={(event) => followLink({ index: event.currentTarget.value, params: {} })}>
        {shown.map((name) => (
          <option key={name} value={name}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}

/** Links to the views of the audience and to the other pages; they open in a new tab like all links. */
function Pages() {
  if (!PAGES.length) return null;
  const isAudience = VIEWS.some((view) => view.name === link.value.view);
  const pages = [{ name: VIEWS[0]?.name ?? "", label: "page.audience" as const, isCurrent: isAudience }, ...PAGES.map((page) => ({ ...page, isCurrent: page.name === link.value.view }))];
  return (
    <nav aria-label={label("pages")}>
      {pages.map((page) => (
        <a
          key={page.name}
          href={formatLink({ ...link.value, view: page.name })}
          aria-current={page.isCurrent ? "page" : undefined}
          onClick={(event) => {
            if (event.ctrlKey || event.metaKey || event.shiftKey) return;
            event.preventDefault();
            followLink({ view: page.name });
          }}
        >
          {label(page.label)}
        </a>
      ))}
    </nav>
  );
}
