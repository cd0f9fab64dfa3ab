# Makes a component of $SOURCE with componentize-js, for the world without imports.
cd "$PACKAGE"
"$PACKAGE/node_modules/.bin/componentize-js" --wit "$WIT" -n plain -d stdio random clocks http fetch-event \
    -o "$OUT" "$SOURCE"
