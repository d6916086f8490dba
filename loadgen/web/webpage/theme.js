// The theme that was chosen in Locust's own page holds here, too; without a choice, the reader's system's.
"use strict";
try {
  if (localStorage.theme) document.documentElement.dataset.theme = localStorage.theme;
} catch { /* storage is switched off: the system's theme */ }
