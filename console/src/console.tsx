/** The frame of the page: header, expression, side panel, and the view that the link names. */

import { useEffect } from "preact/hooks";
import { ExpressionBar } from "./expression/expression_bar";
import { countRefusal, viewed } from "./expression/counting";
import { Header } from "./header/header";
import { KeyForm } from "./header/key_form";
import { KeyHelp, isHelpOpen } from "./header/key_help";
import { watchKeys } from "./header/keys";
import { label } from "./labels/label";
import { link } from "./link/current";
import { SidePanel } from "./panel/side_panel";
import { Notice, RefusalNotice } from "./parts/notice";
import { ProblemText } from "./parts/problem_text";
import { SegmentDialogs } from "./segments/segment_dialogs";
import { SegmentState } from "./segments/segment_state";
import { isOnline, needsKey } from "./server/client";
import { detailsRefusal, indexes, readDetails, session, snapshot, staleProblems } from "./server/session";
import { Tabs } from "./tabs";
import { PAGES, VIEWS } from "./views";

export function Console() {
  useEffect(watchKeys, []);
  return (
    <>
      <Header />
      {!isOnline.value && <Offline />}
      {isOnline.value && <StaleSnapshot />}
      {needsKey.value ? <KeyForm /> : <Workplace />}
      {isHelpOpen.value && <KeyHelp />}
      <SegmentDialogs />
    </>
  );
}

function Workplace() {
  const { index } = link.value;
  const version = snapshot.value;
  useEffect(() => {
    if (session.value && index) void readDetails(index);
  }, [index, version, session.value]);
  return (
    <>
      <ExpressionBar />
      <SegmentState />
      <div class="columns">
        <SidePanel />
        <main id="answer">
          <Tabs />
          <CurrentView />
        </main>
      </div>
    </>
  );
}

function CurrentView() {
  const { index, view } = link.value;
  const entry = indexes.value?.find((known) => known.name === index);
  const question = viewed.value;
  const { Component } = [...VIEWS, ...PAGES].find((known) => known.name === view) ?? (VIEWS[0] as (typeof VIEWS)[number]);
  if (!indexes.value) return <div class="view" />;
  if (!indexes.value.length) return <Notice title={label("index.none")} />;
  if (!entry) return <UnknownIndex />;
  if (entry.devices === 0) return <Notice title={label("index.empty", { name: index })} />;
  if (!question || question.index !== index) return <BeforeAnswer />;
  const isTab = VIEWS.some((known) => known.Component === Component);
  const roles = isTab ? { role: "tabpanel" as const, "aria-labelledby": `tab-${view}` } : {};
  return (
    <div class="view" {...roles} data-testid={`view-${view}`}>
      <Component question={question} />
    </div>
  );
}

/** Nothing was answered yet. What is wrong with the expression stands below it; other refusals are shown here. */
function BeforeAnswer() {
  const refusal = countRefusal.value;
  return <div class="view">{refusal && refusal.status !== 400 && <RefusalNotice refusal={refusal} />}</div>;
}

function UnknownIndex() {
  const refusal = detailsRefusal.value;
  return (
    <Notice title={label("index.unknown", { name: link.value.index })}>
      {refusal && <p lang="en">{refusal.problem.hint}</p>}
    </Notice>
  );
}

/** The current snapshot of the index cannot be read, so that answers are of an earlier one. */
function StaleSnapshot() {
  const problem = staleProblems.value[link.value.index];
  if (!problem) return null;
  return (
    <div class="banner" role="alert">
      {label("snapshot.stale", { snapshot: String(snapshot.value) })} <ProblemText problem={problem} />
    </div>
  );
}

function Offline() {
  return (
    <div class="banner" role="alert">
      {label("offline")}
    </div>
  );
}
