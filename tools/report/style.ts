// SPDX-License-Identifier: GPL-2.0-or-later

/** How a page looks: by light and by dark, narrow, and on paper. */

export const STYLE = `
:root {
  --back: #ffffff; --front: #1b1f24; --soft: #5b636d; --line: #d5dae0; --panel: #f5f7f9;
  --own: #2f6db5; --read: #6b8f2f; --bad: #c02626; --warn: #8a5a00; --good: #1c7a3d;
  --band-a: #eef3f9; --band-b: #f8f3ea; --select: #dcebff; --focus: #0a58ca;
}
@media (prefers-color-scheme: dark) {
  :root {
    --back: #14171b; --front: #e4e8ed; --soft: #9aa4af; --line: #353c45; --panel: #1c2127;
    --own: #6ba7ea; --read: #a3c764; --bad: #ff7b72; --warn: #e3b341; --good: #56d364;
    --band-a: #19222e; --band-b: #262119; --select: #1f3a5f; --focus: #79b8ff;
  }
}
* { box-sizing: border-box; }
html, body { height: 100%; margin: 0; }
body { background: var(--back); color: var(--front); font: 14px/1.45 system-ui, sans-serif; }
#report { display: flex; flex-direction: column; height: 100%; }
header { padding: 10px 16px 6px; border-bottom: 1px solid var(--line); }
h1 { font-size: 17px; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 15px; margin: 0 0 6px; }
h3 { font-size: 14px; margin: 10px 0 4px; }
.facts { color: var(--soft); margin: 2px 0 0; overflow-wrap: anywhere; }
.verdict { font-weight: 600; }
.error, .bad { color: var(--bad); }
.warning { color: var(--warn); }
.ok { color: var(--good); }
.soft, .info, .not-run, .unknown { color: var(--soft); }
[role=tablist] { display: flex; flex-wrap: wrap; gap: 2px; padding: 6px 12px 0; }
[role=tab] { border: 1px solid var(--line); border-bottom: 0; border-radius: 6px 6px 0 0;
  background: var(--panel); color: inherit; font: inherit; padding: 5px 12px; cursor: pointer; }
[role=tab][aria-selected=true] { background: var(--back); font-weight: 600;
  box-shadow: inset 0 3px 0 var(--focus); }
.body { flex: 1; min-height: 0; display: flex; border-top: 1px solid var(--line); }
[role=tabpanel] { flex: 1; min-width: 0; display: flex; flex-direction: column; min-height: 0; }
[role=tabpanel][hidden] { display: none; }
aside { width: 340px; flex: none; overflow: auto; padding: 12px 16px; background: var(--panel);
  border-left: 1px solid var(--line); overflow-wrap: anywhere; }
aside dl, .about dl { margin: 0; display: grid; grid-template-columns: max-content 1fr;
  gap: 2px 10px; }
dt { color: var(--soft); } dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
dd.number { font-family: ui-monospace, monospace; }
.tools { display: flex; flex-wrap: wrap; gap: 6px 12px; align-items: center; padding: 8px 16px;
  border-bottom: 1px solid var(--line); }
.tools fieldset { border: 0; margin: 0; padding: 0; display: flex; flex-wrap: wrap; gap: 2px 10px; }
.tools label { white-space: nowrap; }
button, select, input { font: inherit; color: inherit; background: var(--back);
  border: 1px solid var(--line); border-radius: 4px; padding: 2px 8px; }
input[type=checkbox], input[type=radio] { padding: 0; }
button { cursor: pointer; }
button.link { border: 0; background: none; padding: 0; color: var(--focus); text-align: left;
  text-decoration: underline; overflow-wrap: anywhere; }
:focus-visible { outline: 2px solid var(--focus); outline-offset: -2px; }
.list { flex: 1; overflow: auto; position: relative; min-height: 120px; }
.rows { position: relative; }
.row { position: absolute; left: 0; right: 0; height: 24px; display: flex; align-items: center;
  white-space: nowrap; cursor: pointer; }
.row[aria-selected=true] { background: var(--select); }
.lane-name { width: 340px; flex: none; padding: 0 6px 0 16px; overflow: hidden;
  text-overflow: ellipsis; }
.row[aria-selected=true] .lane-name { overflow: visible; position: relative; z-index: 1; }
.row[aria-selected=true] .lane-name > span { background: var(--select); padding-right: 6px; }
.over { paint-order: stroke; stroke: var(--back); stroke-width: 4px; stroke-linejoin: round; }
.lane svg, .axis svg { flex: 1; height: 100%; min-width: 0; display: block; }
.axis { display: flex; height: 44px; border-bottom: 1px solid var(--line); flex: none; }
.axis .lane-name { align-self: end; color: var(--soft); }
.time { width: 96px; flex: none; text-align: right; padding-right: 8px; color: var(--soft);
  font: 12px ui-monospace, monospace; }
.row svg.arrow { width: 190px; flex: none; height: 24px; }
.row .what { overflow: hidden; text-overflow: ellipsis; padding: 0 8px; flex: 1; min-width: 0; }
.row .channel { width: 110px; flex: none; color: var(--soft); overflow: hidden;
  text-overflow: ellipsis; }
.row.break { background: var(--band-b); font-weight: 600; }
.page { overflow: auto; padding: 12px 16px; flex: 1; }
.page table { border-collapse: collapse; width: 100%; }
.page th { text-align: left; color: var(--soft); font-weight: 500; }
.page td, .page th { padding: 3px 8px 3px 0; border-bottom: 1px solid var(--line);
  vertical-align: top; overflow-wrap: anywhere; }
.page td:not(:nth-child(3)) { overflow-wrap: normal; }
.page td:nth-child(4) { white-space: nowrap; }
.page td:nth-child(4) .links { white-space: normal; max-width: 260px; }
.page td.state, .page td:nth-child(2) .link { white-space: nowrap; }
details { margin: 2px 0; } summary { cursor: pointer; overflow-wrap: anywhere; }
.links { display: flex; flex-wrap: wrap; gap: 2px 12px; }
canvas { display: block; width: 100%; height: 100%; }
.map { flex: 1; min-height: 200px; position: relative; }
.legend { color: var(--soft); padding: 4px 16px; border-top: 1px solid var(--line); }
.hint { position: fixed; pointer-events: none; background: var(--panel); color: var(--front);
  border: 1px solid var(--line); border-radius: 4px; padding: 4px 8px; max-width: 420px;
  box-shadow: 0 2px 8px #0004; z-index: 2; overflow-wrap: anywhere; }
#report.live > header { border-bottom: 0; padding-bottom: 0; }
.choices { display: flex; flex-wrap: wrap; gap: 6px 14px; padding: 6px 16px; align-items: end; }
.choices > label { display: flex; flex-direction: column; min-width: 0;
  max-width: min(100%, 560px); }
.choices > label > span, legend { color: var(--soft); font-size: 12px; padding: 0; }
.choices select, .choices input:not([type=checkbox]) { height: 28px; }
.choices select { max-width: 100%; text-overflow: ellipsis; }
.choices input[type=number] { width: 74px; } .choices input[type=text] { width: 180px; }
.choices fieldset { border: 0; margin: 0; padding: 0; min-width: 0; flex-basis: 100%; }
.choices fieldset label { display: inline-block; margin-right: 12px; white-space: nowrap; }
.choices .run { display: flex; gap: 6px; }
button.main { background: var(--focus); border-color: var(--focus); color: var(--back);
  font-weight: 600; padding: 2px 18px; }
button:disabled { opacity: .5; cursor: default; }
.live-status { margin: 0; padding: 0 16px 6px; overflow-wrap: anywhere; }
.live-status:empty { display: none; }
pre[role=log] { margin: 0 16px 8px; padding: 6px 8px; height: 170px; flex: none; overflow: auto;
  background: var(--panel); border: 1px solid var(--line); white-space: pre-wrap;
  overflow-wrap: anywhere; font: 12px/1.35 ui-monospace, monospace; }
#run { flex: 1; min-height: 0; display: flex; flex-direction: column;
  border-top: 1px solid var(--line); }
@media (max-width: 760px) {
  .choices, .live-status { padding-left: 8px; padding-right: 8px; }
  .choices > label { max-width: 100%; }
  pre[role=log] { margin-left: 8px; margin-right: 8px; }
  html, body, #report { height: auto; min-height: 100%; }
  .body { flex-direction: column; }
  [role=tabpanel] .list, .map { height: 60vh; flex: none; }
  aside { width: auto; border-left: 0; border-top: 1px solid var(--line); }
  .time { width: 66px; } .row svg.arrow { width: 90px; } .row .channel { display: none; }
  .tools, header, .legend, .page { padding-left: 8px; padding-right: 8px; }
}
@media screen and (max-width: 760px) {
  .axis .lane-name { display: none; }
  .row.lane { height: 44px; flex-direction: column; align-items: stretch; }
  .row.lane .lane-name { width: auto; height: 20px; padding-left: 8px; font-size: 12.5px; }
  .row.lane svg { height: 24px; flex: none; }
  .checks thead { display: none; }
  .checks tr { display: grid; grid-template-columns: max-content max-content 1fr; }
  .checks tr { border-bottom: 1px solid var(--line); padding: 4px 0; }
  .checks td { border: 0; }
  .checks td:nth-child(n + 3) { grid-column: 1 / -1; }
  .checks td:nth-child(4) .links { max-width: none; }
}
@media print {
  :root { --back: #fff; --front: #000; --soft: #444; --line: #bbb; --panel: #fff; }
  html, body, #report { height: auto; }
  [role=tablist], .tools, .hint { display: none; }
  .body, [role=tabpanel] { display: block; }
  aside { width: auto; border: 0; }
  .list { overflow: visible; height: auto; }
  .map { height: 60vh; }
  .page { overflow: visible; }
  .row { break-inside: avoid; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
`;
