# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the report's page looks like, its symbols, and its only script. Each risk has a symbol and a word of its own.

The page's policy allows exactly these two texts, by their checksums: nothing else in it can run or load anything.
"""

from __future__ import annotations

__all__ = ["SCRIPT", "STYLE", "SYMBOLS"]

STYLE = """
:root{color-scheme:light dark;--bg:#f4f5f7;--card:#fff;--ink:#15181e;--soft:#5a6372;--edge:#dfe3e9;--rail:#e6e9ee;
--lost:#b3122a;--unknown:#6a48b8;--late:#b84a00;--failing:#8a6100;--unsafe:#1c5cb0;--safe:#0a7557;--line:#1c5cb0}
@media(prefers-color-scheme:dark){:root{--bg:#0e1116;--card:#171b22;--ink:#eceff4;--soft:#9aa5b4;--edge:#2a303a;
--rail:#2a303a;--lost:#ff6b7d;--unknown:#b8a0ff;--late:#ff9a56;--failing:#eabf4b;--unsafe:#7cb4ff;--safe:#4fd0a4;
--line:#7cb4ff}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);
font:16px/1.45 system-ui,"Segoe UI",Roboto,"Helvetica Neue",sans-serif;
font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
main{max-width:84rem;margin:0 auto;padding:1.5rem}
svg.i{width:1.15em;height:1.15em;vertical-align:-.2em;fill:currentColor;flex:none}
.lost{--c:var(--lost)}.unknown{--c:var(--unknown)}.late{--c:var(--late)}.failing{--c:var(--failing)}
.unsafe{--c:var(--unsafe)}.safe{--c:var(--safe)}.none{--c:var(--soft)}
header{background:color-mix(in srgb,var(--c) 7%,var(--card));
border:1px solid var(--edge);border-left:.6rem solid var(--c);border-radius:.9rem;
padding:1.5rem 1.75rem}
header p{margin:.2rem 0 0;color:var(--soft)}
h1{margin:.1rem 0;font-size:clamp(1.6rem,4.2vw,2.9rem);line-height:1.15;letter-spacing:-.02em;display:flex;gap:.6rem;
align-items:center;overflow-wrap:break-word}
h1 svg.i{color:var(--c)}
.shares{display:block;width:100%;height:.7rem;margin-top:1.2rem;border-radius:.35rem}
.shares rect{fill:var(--c)}
.tiles{display:grid;grid-template-columns:repeat(6,1fr);gap:.75rem;margin:.75rem 0}
.tiles button{font:inherit;color:inherit;text-align:left;background:var(--card);border:1px solid var(--edge);
border-radius:.7rem;padding:.7rem .9rem;cursor:pointer;display:flex;flex-direction:column}
.tiles button[aria-pressed=true]{border-color:var(--c);box-shadow:inset 0 0 0 1px var(--c)}
.tiles b{display:flex;align-items:center;gap:.45rem;font-size:1.6rem;line-height:1.2;color:var(--c)}
.tiles .nil b{color:var(--soft);opacity:.7}
.tiles span{display:block;font-weight:600}.tiles small{display:block;color:var(--soft);line-height:1.3}
.fleet{display:grid;grid-template-columns:3fr 2fr;gap:.75rem;margin-bottom:.75rem}
.fleet>*{background:var(--card);border:1px solid var(--edge);border-radius:.7rem;padding:1rem 1.2rem;margin:0}
figure figcaption{display:flex;justify-content:space-between;gap:1rem;margin-bottom:.5rem}
figure p{display:flex;justify-content:space-between;margin:.25rem 0 0;color:var(--soft);font-size:.85rem}
.area{display:block;width:100%;height:7.5rem;border-bottom:1px solid var(--edge)}
.area .fill{fill:var(--line);opacity:.16}
.area .line,.spark path{fill:none;stroke:var(--line);
stroke-width:2;vector-effect:non-scaling-stroke;stroke-linejoin:round}
dl{display:grid;grid-template-columns:auto 1fr;gap:.35rem 1.2rem;align-content:center}
dt{color:var(--soft)}dd{margin:0;font-weight:600;text-align:right}
.note{background:var(--card);border:1px solid var(--edge);border-left:.4rem solid var(--late);border-radius:.7rem;
padding:.8rem 1.2rem;margin:.75rem 0}
.note ul{margin:.3rem 0 0;padding-left:1.2rem}
input{font:inherit;width:100%;
padding:.6rem .9rem;border:1px solid var(--edge);border-radius:.7rem;background:var(--card);
color:inherit;margin-bottom:.75rem}
table{width:100%;table-layout:fixed;border-collapse:separate;border-spacing:0;
background:var(--card);border:1px solid var(--edge);
border-radius:.7rem;overflow:hidden}
thead th{font-size:.8rem;font-weight:600;
color:var(--soft);text-align:left;padding:.7rem .7rem .5rem;vertical-align:bottom}
tbody td,tbody th{border-top:1px solid var(--edge);padding:.65rem .7rem;
text-align:left;vertical-align:top;font-weight:400}
tbody>tr>:first-child{border-left:.3rem solid var(--c)}
thead th:first-child{border-left:.3rem solid transparent;width:8.5rem}
thead th:nth-child(2){width:19%}thead th:nth-child(3){width:17%}thead th:nth-child(4){width:12.5%}
thead th:nth-child(6){width:7rem}
tbody th b{font-size:1.05rem}
tbody small{display:block;color:var(--soft);font-size:.82rem}
.state{color:var(--c);font-weight:700;white-space:nowrap}
.state svg{margin-right:.4rem}
td.big{font-weight:600}td.big small{font-weight:400}
tr.why td{border-top:0;padding-top:0;font-size:.9rem}
tr.why code{color:var(--c);font-weight:700}
tr.why span{color:var(--soft)}
code{font:.95em ui-monospace,"SF Mono",Menlo,Consolas,monospace}
.gauge{display:block;width:100%;min-width:5rem;height:.35rem;margin:.3rem 0;border-radius:.2rem}
.gauge rect{fill:var(--c)}.gauge .rail{fill:var(--rail)}.gauge .mark{fill:var(--ink);opacity:.55}
.spark{display:block;width:6.5rem;height:1.55rem;margin-top:.15rem}
.spark circle{fill:var(--line)}
.bad{color:var(--lost);font-weight:700}
footer{color:var(--soft);font-size:.85rem;margin-top:1rem}
[hidden]{display:none!important}
@media(max-width:60rem){
main{padding:.75rem}header{padding:1.1rem 1.1rem 1.2rem}
.tiles{grid-template-columns:repeat(3,1fr);gap:.5rem}.tiles button{padding:.55rem .65rem}.tiles small{display:none}
.fleet{grid-template-columns:1fr;gap:.5rem}
table,tbody,tr,td,tbody th{display:block}thead{display:none}
table{background:none;border:0;border-radius:0}
tbody{background:var(--card);border:1px solid var(--edge);border-left:.35rem solid var(--c);border-radius:.7rem;
margin-bottom:.6rem;padding:.7rem .9rem}
tbody td,tbody th,tbody>tr>:first-child{border:0;padding:.15rem 0}
tbody td[data-l]{display:grid;grid-template-columns:8.5rem 1fr;gap:.6rem}
tbody td[data-l]::before{content:attr(data-l);color:var(--soft);font-size:.9rem}
tr.why td{padding-top:.4rem}td.nil,tr.why td:empty{display:none!important}
}
@media print{.tiles button,header,tbody{break-inside:avoid}input{display:none}}
"""

SYMBOLS = """<svg width="0" height="0" aria-hidden="true"><defs>
<symbol id="lost" viewBox="0 0 16 16"><path fill-rule="evenodd" d="M5 .5h6L15.5 5v6L11 15.5H5L.5 11V5zM5.4 4 4 5.4 6.6 \
8 4 10.6 5.4 12 8 9.4l2.6 2.6 1.4-1.4L9.4 8 12 5.4 10.6 4 8 6.6z"/></symbol>
<symbol id="unknown" viewBox="0 0 16 16"><path fill-rule="evenodd" d="M8 .5a7.5 7.5 0 1 0 0 15 7.5 7.5 0 0 0 0-15zM5.2 \
6.2C5.2 4.5 6.4 3.4 8.1 3.4c1.7 0 2.9 1 2.9 2.5 0 1.2-.7 1.8-1.3 2.3-.6.4-.8.7-.8 1.2v.3H7.1v-.4c0-1.2\
.6-1.8 1.3-2.3.5-.4.7-.7.7-1.1 0-.5-.4-.8-1-.8s-1.1.4-1.1 1.1zM7 11h2v2H7z"/></symbol>
<symbol id="late" viewBox="0 0 16 16"><path fill-rule="evenodd" d="M8 .5a7.5 7.5 0 1 0 0 15 7.5 7.5 0 0 0 0-15zM7 \
3.5h2v4.1l2.9 2.9-1.4 1.4L7 8.4z"/></symbol>
<symbol id="failing" viewBox="0 0 16 16"><path fill-rule="evenodd" d="M8 .8 15.8 15H.2zM7 6v4.5h2V6zm0 \
5.6v1.9h2v-1.9z"/></symbol>
<symbol id="unsafe" viewBox="0 0 16 16"><path fill-rule="evenodd" d="M8 .5a7.5 7.5 0 1 0 0 15 7.5 7.5 0 0 0 0-15zm0 \
2v11a5.5 5.5 0 0 1 0-11z"/></symbol>
<symbol id="safe" viewBox="0 0 16 16"><path fill-rule="evenodd" d="M8 .5a7.5 7.5 0 1 0 0 15 7.5 7.5 0 0 0 0-15zM11.5 \
4.7 13 6.1l-5.9 6L3.3 8.3l1.4-1.4 2.4 2.3z"/></symbol>
</defs></svg>"""

# Without it the page shows all there is. A page that nobody renews any more must not go on saying that all is well.
SCRIPT = """
(function(){
var rows=[].slice.call(document.querySelectorAll('tbody')),
tiles=[].slice.call(document.querySelectorAll('.tiles button')),
find=document.querySelector('input'),old=document.getElementById('old'),only=null;
function show(){var text=find?find.value.trim().toLowerCase():'';rows.forEach(function(row){
row.hidden=!!(only&&!row.classList.contains(only)||
text&&row.querySelector('th').textContent.toLowerCase().indexOf(text)<0)})}
tiles.forEach(function(tile){tile.addEventListener('click',function(){
only=only===tile.className.split(' ')[0]?null:tile.className.split(' ')[0];
tiles.forEach(function(each){each.setAttribute('aria-pressed',String(each.className.split(' ')[0]===only))});show()})});
if(find){find.hidden=false;find.addEventListener('input',show)}
var hours=(Date.now()-Date.parse(old.getAttribute('data-made')))/36e5;
if(hours>26){old.hidden=false;old.querySelector('b').textContent=String(Math.floor(hours/24))}
})();
"""
