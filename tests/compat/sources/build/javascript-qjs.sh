# Makes a component of $SOURCE with componentize-qjs, for the world without imports.
"$PACKAGE/node_modules/.bin/componentize-qjs" -w "$WIT" -n plain -j "$SOURCE" --sync --stub-wasi -o "$OUT"
