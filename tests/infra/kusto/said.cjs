// Reads {tables: ["Name (column: type, ...)"], queries: ["..."]} and prints [{faults: [...], columns: [...]}] as JSON.
const fs = require("fs");
const path = require("path");
const vm = require("vm");

const folder = path.join(__dirname, "node_modules", "@kusto", "language-service-next");
for (const file of ["bridge.min.js", "Kusto.Language.Bridge.min.js"]) {
  // made for a browser: each finds the other as a global
  vm.runInThisContext(fs.readFileSync(path.join(folder, file), "utf8"), { filename: file });
}
const { GlobalState, KustoCode, Symbols } = globalThis.Kusto.Language;

function listed(list, name) {
  return Array.from({ length: list ? list.Count : 0 }, (_, at) => list.getItem(at)[name]);
}

const { tables, queries } = JSON.parse(fs.readFileSync(0, "utf8"));
const symbols = tables.map((table) => {
  const at = table.indexOf(" ");
  return new Symbols.TableSymbol.$ctor7(table.slice(0, at), table.slice(at + 1), null);
});
const workspace = GlobalState.Default.WithDatabase(new Symbols.DatabaseSymbol.ctor("workspace", symbols));
const said = queries.map((query) => {
  const code = KustoCode.ParseAndAnalyze(query, workspace);
  return {
    faults: listed(code.GetDiagnostics(), "Message"),
    columns: listed(code.ResultType && code.ResultType.Columns, "Name"),
  };
});
process.stdout.write(JSON.stringify(said));
