/** The views of an audience and the other pages: one line for each, in the order of their keys. */

import type { ComponentType } from "preact";
import type { Answered } from "./expression/counting";
import { FunnelView } from "./funnel/funnel_view";
import type { LabelName } from "./labels/label";
import { Overlap } from "./overlap/overlap";
import { Profile } from "./profile/profile";
import { Runs } from "./runs/runs";
import { Segments } from "./segments/segments";
import { Vendors } from "./vendors/vendors";

export interface ViewProps {
  /** Question that was answered last, which the view is about. */
  readonly question: Answered;
}

export interface View {
  /** Name in the link. */
  readonly name: string;
  /** Key that opens it. */
  readonly key: string;
  readonly label: LabelName;
  readonly Component: ComponentType<ViewProps>;
}

/** Views of the audience of the expression: the tabs. */
export const VIEWS: readonly View[] = [
  { name: "funnel", key: "1", label: "view.funnel", Component: FunnelView },
  { name: "profile", key: "2", label: "view.profile", Component: Profile },
  { name: "overlap", key: "3", label: "view.overlap", Component: Overlap },
  { name: "vendors", key: "4", label: "view.vendors", Component: Vendors },
];

/** Pages beside the expression: the links of the header. */
export const PAGES: readonly View[] = [
  { name: "segments", key: "5", label: "view.segments", Component: Segments },
  { name: "runs", key: "6", label: "view.runs", Component: Runs },
];
