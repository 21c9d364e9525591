/** Start the console. */

import { render } from "preact";
import "./styles/index.css";
import { Console } from "./console";
import { watchCount } from "./expression/counting";
import { watchFindings } from "./expression/findings";
import { watchVendorProblems } from "./labels/vendor_problems";
import { openSession, watchIndexes } from "./server/session";
import { watchSegments } from "./segments/saved";
import { watchTheme } from "./theme";

watchTheme();
watchCount();
watchFindings();
watchIndexes();
watchSegments();
watchVendorProblems();
void openSession();
render(<Console />, document.getElementById("console") as HTMLElement);
