/** Problems that only one vendor has, in Chinese: the service knows them, so that the bundle stays as it is when a vendor is added. */

import { effect, signal } from "@preact/signals";
import { ask, isOnline } from "../server/client";
import { session } from "../server/session";
import { language } from "./label";

interface ProblemCode {
  readonly chinese: string;
}

export const vendorProblems = signal<Readonly<Record<string, ProblemCode>>>({});

let isRead = false;

/** Read them once somebody reads the page in Chinese. Without an answer, problems stay as the service wrote them. */
export function watchVendorProblems(): void {
  effect(() => {
    if (language.value === "zh" && session.value && isOnline.value && !isRead) void readVendorProblems();
  });
}

async function readVendorProblems(): Promise<void> {
  isRead = true;
  try {
    vendorProblems.value = (await ask<{ codes: Record<string, ProblemCode> }>("v1/problem-codes")).form.codes;
  } catch {
    isRead = false; // again when the service is reached, or another key is entered
  }
}
