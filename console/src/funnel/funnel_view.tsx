/** Funnel, with the profile beside it where the page is wide enough for both. */

import { isWide } from "../parts/page_width";
import { Profile } from "../profile/profile";
import { useSettled } from "../server/settled";
import type { ViewProps } from "../views";
import { Funnel } from "./funnel";

const PROFILE_DELAY = 200; // a profile takes longer than a count, and is not read while one types

export function FunnelView({ question }: ViewProps) {
  const settled = useSettled(question, PROFILE_DELAY);
  if (!isWide.value) return <Funnel question={question} />;
  return (
    <div class="beside">
      <Funnel question={question} />
      <div>
        <Profile question={settled} />
      </div>
    </div>
  );
}
