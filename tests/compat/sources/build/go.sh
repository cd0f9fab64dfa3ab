# Builds $SOURCE with the Go of the installed package.
chmod +x "$PACKAGE"/go/bin/go "$PACKAGE"/go/pkg/tool/*/*
export GOROOT="$PACKAGE/go" GOCACHE="$SCRATCH/cache" GOPATH="$SCRATCH/path" GOTOOLCHAIN=local
cd "$SCRATCH"
cp "$SOURCE" .
GOOS=wasip1 GOARCH=wasm "$GOROOT/bin/go" build -o "$OUT" "$(basename "$SOURCE")"
