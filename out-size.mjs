import { gzipSync } from 'node:zlib';
import { bundleMinified } from '/work/wt/netdhcp/tools/build/minify.mjs';
const root='/work/wt/netdhcp';
const out={};
for (const e of ['x64','arm64']) {
  const r=await bundleMinified({absWorkingDir:root,outdir:'dist',entryPoints:[`src/${e}.ts`]});
  const t=r.outputFiles[0].contents; out[e]=[t.length,gzipSync(t,{level:9}).length];
}
// network only
const src=`export {netboot} from './src/net/netboot.ts'; export {bootWith} from './src/boot/boot.ts'`;
const r=await bundleMinified({absWorkingDir:root,outdir:'dist',stdin:{contents:src,loader:'ts',resolveDir:root,sourcefile:'n.ts'}});
const t=r.outputFiles[0].contents; out.net=[t.length,gzipSync(t,{level:9}).length];
console.log(JSON.stringify(out));
if(process.argv[2]) { const {writeFileSync}=await import('node:fs'); writeFileSync(process.argv[2], t); }
