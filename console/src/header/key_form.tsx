/** Form for the key of the service, where it wants one or has refused the one it got. */

import { useRef, useState } from "preact/hooks";
import { label } from "../labels/label";
import { needsKey } from "../server/client";
import { key } from "../server/key";
import { enterKey } from "../server/session";

export function KeyForm() {
  const field = useRef<HTMLInputElement>(null);
  const [isWrong, setWrong] = useState(key.value !== "");
  const submit = async (event: Event) => {
    event.preventDefault();
    await enterKey(field.current?.value ?? "");
    setWrong(needsKey.value);
  };
  return (
    <main class="key-form">
      <form class="fields" onSubmit={submit}>
        <h2>{label("key.title")}</h2>
        <p>{label("key.about")}</p>
        <label>
          {label("key.field")}
          <input ref={field} type="password" autocomplete="off" aria-invalid={isWrong} aria-describedby="key-problem" autofocus />
        </label>
        <p id="key-problem" class="problem is-error" role="alert">
          {isWrong ? label("key.wrong") : ""}
        </p>
        <div class="buttons">
          <button type="submit" class="primary">
            {label("key.enter")}
          </button>
        </div>
      </form>
    </main>
  );
}
