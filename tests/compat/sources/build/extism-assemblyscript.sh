# Compiles $SOURCE with AssemblyScript and Extism's plug-in kit.
cd "$PACKAGE"
cp "$SOURCE" plugin.ts
npm install --silent --no-audit --no-fund assemblyscript@0.28.20
node_modules/.bin/asc plugin.ts --runtime minimal --use abort=plugin/abort_ -O -o "$OUT"
