/** Form of the message: title and body as fields, all else as JSON. Both are the same text. */

import { label } from "../labels/label";
import { messageText, readMessage, withField } from "./draft";

export function MessageForm() {
  const text = messageText.value;
  const message = readMessage(text);
  return (
    <div class="fields message-form">
      <TextField name={label("message.title")} value={message?.title} change={(value) => (messageText.value = withField(text, "title", value))} isDisabled={!message} />
      <TextField name={label("message.body")} value={message?.body} change={(value) => (messageText.value = withField(text, "body", value))} isDisabled={!message} isLong />
      <details>
        <summary>{label("message.json")}</summary>
        <label>
          <span class="hidden">{label("message.json")}</span>
          <textarea class="json" rows={10} spellcheck={false} value={text} aria-invalid={!message} onInput={(event) => (messageText.value = event.currentTarget.value)} />
        </label>
      </details>
      {!message && (
        <p class="problem is-error" role="status">
          {label("message.not_json")}
        </p>
      )}
    </div>
  );
}

interface TextFieldProps {
  readonly name: string;
  readonly value: unknown;
  readonly change: (value: string) => void;
  readonly isDisabled: boolean;
  readonly isLong?: boolean;
}

function TextField({ name, value, change, isDisabled, isLong = false }: TextFieldProps) {
  const text = typeof value === "string" ? value : "";
  return (
    <label>
      {name}
      {isLong ? (
        <textarea rows={3} dir="auto" value={text} disabled={isDisabled} onInput={(event) => change(event.currentTarget.value)} />
      ) : (
        <input dir="auto" value={text} disabled={isDisabled} onInput={(event) => change(event.currentTarget.value)} />
      )}
    </label>
  );
}
