# Makes a component of $SOURCE with componentize-py, for the world without imports.
cp "$SOURCE" "$SCRATCH/app.py"
cd "$SCRATCH"
PYTHONPATH="$PACKAGE" "$PYTHON" -c 'from componentize_py import script; script()' \
    -d "$WIT" -w plain componentize --stub-wasi app -o "$OUT"
