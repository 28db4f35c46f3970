"use strict";
const data=JSON.parse(document.getElementById("data").textContent);
const NS="http://www.w3.org/2000/svg",W=420,H=230,L=52,R=8,T=8,B=24;
const hidden=new Set();
const color=i=>`var(--c${i%8})`;
// Groups beyond the eight colors have dashes of their own, in curves and swatches (page.css).
const round=i=>Math.floor(i/8)%4,dash=i=>["none","9 5","2 4","9 4 2 4"][round(i)];
function el(name,attrs,parent){const e=document.createElementNS(NS,name);
for(const k in attrs)e.setAttribute(k,attrs[k]);if(parent)parent.append(e);return e;}
// As compact() in ppo/core/figures.py.
function show(v){if(v===null||v===undefined)return"-";const r=+v.toPrecision(3),a=Math.abs(r);
if(a>=1e15||(a!==0&&a<1e-3))return v.toExponential(1).replace("+","").replace(".0e","e");
for(const[unit,letter]of[[1e12,"T"],[1e9,"G"],[1e6,"M"],[1e4,"k"]])
if(a>=unit)return String(+(r/(letter==="k"?1e3:unit)).toPrecision(3))+letter;
return a>=1e3?Math.round(v).toLocaleString("en-US"):String(r);}
function ticks(lo,hi,n){const raw=(hi-lo)/n||1,p=10**Math.floor(Math.log10(raw));
const s=[1,2,5,10].find(m=>m*p>=raw)*p,out=[];
for(let v=Math.ceil(lo/s)*s;v<=hi+s*1e-9;v+=s)out.push(+v.toPrecision(12));return out;}
function quantile(sorted,q){return sorted[Math.min(sorted.length-1,Math.floor(q*sorted.length))];}
function range(values,trim){const s=values.filter(v=>v!==null).sort((a,b)=>a-b);
if(!s.length)return[0,1];let lo=s[0],hi=s[s.length-1];
if(trim&&s.length>40){const a=quantile(s,.01),b=quantile(s,.99),w=(b-a)||1;
lo=Math.max(lo,a-w*.5);hi=Math.min(hi,b+w*.5);}
if(lo===hi){lo-=Math.abs(lo)*.1||.5;hi+=Math.abs(hi)*.1||.5;}return[lo,hi];}
function pathOf(xs,ys,X,Y){let d="",pen=false;for(let i=0;i<xs.length;i++){
if(ys[i]===null||xs[i]===null){pen=false;continue;}
const at=X(xs[i]).toFixed(1)+" "+Y(ys[i]).toFixed(1);
d+=pen?"L"+at:"M"+at+"h.01";pen=true;}return d;}  // a single point is a dot
function draw(metric,box){
const axis=document.getElementById("axis").value,single=document.getElementById("single").checked;
box.querySelector("svg")?.remove();
const svg=el("svg",{viewBox:`0 0 ${W} ${H}`,role:"img","aria-label":metric.label},null);
box.append(svg);const lines=[],xs=[],ys=[];
data.groups.forEach((g,i)=>{if(hidden.has(i))return;const band=g.bands[metric.name];
const thick=axis==="steps"&&band&&band.x.length>1;
if(thick){ys.push(...band.low,...band.high);xs.push(...band.x);
lines.push({g:i,x:band.x,y:band.mean,thick:true,band,name:g.label,dash:dash(i)});}
g.runs.forEach(r=>{const y=r.y[metric.name];if(!y||(thick&&!single))return;
xs.push(...r[axis]);ys.push(...y);
lines.push({g:i,x:r[axis],y,thick:!thick&&g.runs.length===1,name:r.name,marks:r.marks,
dash:r.dash?"5 4":dash(i)});});});
const[x0,x1]=range(xs,false),[y0,y1]=range(ys,true);
const X=v=>L+(v-x0)/(x1-x0)*(W-L-R),Y=v=>Math.max(T-2,Math.min(H-B+2,T+(y1-v)/(y1-y0)*(H-T-B)));
for(const v of ticks(y0,y1,5)){el("line",{x1:L,x2:W-R,y1:Y(v),y2:Y(v),stroke:"var(--line)"},svg);
el("text",{x:L-6,y:Y(v)+4,"text-anchor":"end"},svg).textContent=show(v);}
for(const v of ticks(x0,x1,4))
el("text",{x:X(v),y:H-8,"text-anchor":X(v)>W-R-14?"end":"middle"},svg).textContent=show(v);
for(const l of lines)if(l.band){const a=pathOf(l.band.x,l.band.high,X,Y);
const b=pathOf([...l.band.x].reverse(),[...l.band.low].reverse(),X,Y).replace("M","L");
el("path",{d:a+b+"Z",fill:color(l.g),opacity:.18},svg);}
for(const l of lines)el("path",{d:pathOf(l.x,l.y,X,Y),fill:"none",stroke:color(l.g),
"stroke-width":l.x.length===1?7:l.thick?2:1,opacity:l.thick?1:.45,"stroke-linejoin":"round",
"stroke-linecap":"round","stroke-dasharray":l.dash},svg);
if(metric===data.metrics[0])for(const l of lines)for(const m of l.marks||[]){
const at=m[axis==="steps"?0:1];if(at===null)continue;
const mark=el("path",{d:`M${X(at)} ${H-B}l-4 8h8Z`,fill:color(l.g)},svg);
el("title",{},mark).textContent=l.name+": "+m[2];}
const cursor=el("circle",{r:3.5,fill:"none",stroke:"var(--fg)","stroke-width":1.5,
visibility:"hidden"},svg);
const tip=box.querySelector(".tip");
function leave(){tip.style.display="none";cursor.setAttribute("visibility","hidden");}
svg.addEventListener("pointerleave",leave);
svg.addEventListener("pointermove",e=>{const r=svg.getBoundingClientRect();
const px=(e.clientX-r.left)/r.width*W,py=(e.clientY-r.top)/r.height*H;let best=null;
for(const l of lines)for(let i=0;i<l.x.length;i++){if(l.y[i]===null||l.x[i]===null)continue;
const dx=X(l.x[i])-px,dy=Y(l.y[i])-py,d=dx*dx+dy*dy*.5-(l.thick?16:0);
if(!best||d<best.d)best={d,l,i};}
if(!best||best.d>2500)return leave();const{l,i}=best;
cursor.setAttribute("cx",X(l.x[i]));cursor.setAttribute("cy",Y(l.y[i]));
cursor.setAttribute("visibility","visible");
let text=l.name+": "+show(l.y[i]);
if(l.band)text+=" ["+show(l.band.low[i])+", "+show(l.band.high[i])+"]";
tip.textContent=text+" at "+show(l.x[i])+" "+axis;
tip.style.display="block";const x=X(l.x[i])/W*r.width,y=Y(l.y[i])/H*r.height;
tip.style.left=Math.max(0,Math.min(x+14,r.width-tip.offsetWidth))+"px";
tip.style.top=(y>60?y-28:y+40)+"px";});}
const charts=document.getElementById("charts"),figures=[];
for(const metric of data.metrics){const box=document.createElement("figure");
const caption=document.createElement("figcaption");caption.textContent=metric.label;
const tip=document.createElement("div");tip.className="tip";box.append(caption,tip);
charts.append(box);figures.push([metric,box]);}
const redraw=()=>figures.forEach(([m,b])=>draw(m,b));
const legend=document.getElementById("legend");
data.groups.forEach((g,i)=>{const b=document.createElement("button");
const s=document.createElement("i");s.className="swatch c"+i%8+" d"+round(i);
b.append(s,g.label+(g.runs.length>1?" ("+g.runs.length+" seeds)":""));
b.onclick=()=>{hidden.has(i)?hidden.delete(i):hidden.add(i);b.classList.toggle("off");redraw();};
legend.append(b);});
document.getElementById("axis").onchange=redraw;document.getElementById("single").onchange=redraw;
redraw();document.body.dataset.ready=String(figures.length);
