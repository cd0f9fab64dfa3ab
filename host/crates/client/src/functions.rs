//! Client calls on functions and their versions.

use fusebox_api::{
    functions::{FunctionPage, FunctionView, LimitParams},
    scripts::ScriptParams,
    setup::{SetupParams, StartParams},
};
use fusebox_core::capability::Grants;
use reqwest::Url;

use super::{Client, Module, Ran, Result, form::Form};

impl Client {
    /// Registers a function with an empty setup.
    ///
    /// # Errors
    /// As [`Client::deploy`].
    pub async fn register(
        &self,
        name: &str,
        limits: LimitParams,
        grants: &Grants,
        wasm: impl Into<Module>,
    ) -> Result<FunctionView> {
        self.deploy(name, limits, grants, &SetupParams::default(), wasm, None).await
    }

    /// Registers a function; `files` is a tar of the files that its runs see.
    ///
    /// # Errors
    /// Fails if the name, the module, a limit, a grant, the setup or a file is refused, or the host does not answer.
    pub async fn deploy(
        &self,
        name: &str,
        limits: LimitParams,
        grants: &Grants,
        setup: &SetupParams,
        wasm: impl Into<Module>,
        files: Option<Vec<u8>>,
    ) -> Result<FunctionView> {
        let url = self.registration(name, limits, grants, setup);
        let module = wasm.into();
        let (content_type, module) = match files {
            None => ("application/wasm".to_owned(), module),
            Some(files) => {
                let Form { content_type, body } = Form::new("module", module.bytes(), Some(&files));
                (content_type, module.within(body))
            }
        };
        self.json(module.onto(self.http.post(url).header("content-type", content_type))).await
    }

    /// Registers a script; `files` is a tar of the files that its runs see beside it.
    ///
    /// # Errors
    /// Fails if the name, the script, its language, a limit, a grant, the setup or a file is refused, or the host does not
    /// answer.
    #[expect(clippy::too_many_arguments, reason = "each is a part of the version")]
    pub async fn deploy_script(
        &self,
        name: &str,
        limits: LimitParams,
        grants: &Grants,
        setup: &SetupParams,
        script: &ScriptParams,
        source: impl Into<Module>,
        files: Option<Vec<u8>>,
    ) -> Result<FunctionView> {
        let mut url = self.registration(name, limits, grants, setup);
        url.query_pairs_mut().extend_pairs(script.pairs());
        let source = source.into();
        let Form { content_type, body } = Form::new("source", source.bytes(), files.as_deref());
        let source = source.within(body);
        self.json(source.onto(self.http.post(url).header("content-type", content_type))).await
    }

    /// Returns the URL of a registration.
    fn registration(&self, name: &str, limits: LimitParams, grants: &Grants, setup: &SetupParams) -> Url {
        let mut url = self.url(&["v1", "functions"]);
        url.query_pairs_mut().append_pair("name", name);
        let LimitParams { fuel, wall_ms, memory_bytes, output_bytes, log_bytes, cpu_ms } = limits;
        let limits = [
            ("fuel", fuel),
            ("wall_ms", wall_ms.map(u64::from)),
            ("memory_bytes", memory_bytes),
            ("output_bytes", output_bytes),
            ("log_bytes", log_bytes),
            ("cpu_ms", cpu_ms.map(u64::from)),
        ];
        for (name, value) in limits {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(name, &value.to_string());
            }
        }
        if *grants != Grants::default() {
            url.query_pairs_mut().append_pair("grants", &grants.to_list());
        }
        url.query_pairs_mut().extend_pairs(setup.pairs());
        url
    }

    /// Waits up to `seconds` until a version is no longer being compiled, and returns it as it is then.
    ///
    /// # Errors
    /// Fails if there is no such version, or the host does not answer.
    pub async fn compiled(&self, version: &str, seconds: u64) -> Result<FunctionView> {
        let request = self.http.get(self.url(&["v1", "functions", version]));
        self.json(request.header("prefer", format!("wait={seconds}"))).await
    }

    /// Returns a version by its id, or the newest version of a name.
    ///
    /// # Errors
    /// Fails if there is no such function, or the host does not answer.
    pub async fn function(&self, function: &str) -> Result<FunctionView> {
        self.json(self.http.get(self.url(&["v1", "functions", function]))).await
    }

    /// Lists the newest version of each function.
    ///
    /// # Errors
    /// Fails if the host does not answer.
    pub async fn functions(&self) -> Result<Vec<FunctionView>> {
        self.pages(self.url(&["v1", "functions"]), |page: FunctionPage| (page.items, page.next)).await
    }

    /// Lists the versions of a function, newest first.
    ///
    /// # Errors
    /// Fails if there is no such function, or the host does not answer.
    pub async fn versions(&self, function: &str) -> Result<Vec<FunctionView>> {
        let url = self.url(&["v1", "functions", function, "versions"]);
        self.pages(url, |page: FunctionPage| (page.items, page.next)).await
    }

    /// Deletes a version or a function.
    ///
    /// # Errors
    /// Fails if there is no such function or version, or the host does not answer.
    pub async fn delete_function(&self, function: &str) -> Result<()> {
        self.send(self.http.delete(self.url(&["v1", "functions", function]))).await.map(drop)
    }

    /// Runs a function without arguments and waits for its output.
    ///
    /// # Errors
    /// As [`Client::invoke_with`].
    pub async fn invoke(&self, function: &str, input: Vec<u8>, with_log: bool) -> Result<Ran> {
        self.invoke_with(function, &StartParams::default(), input, with_log).await
    }

    /// Runs a function and waits for its output.
    ///
    /// # Errors
    /// Fails with the run's problem and receipt if the function failed, or if there is no such function, the input is too
    /// large, an argument is refused, the host is too busy, or it does not answer.
    pub async fn invoke_with(
        &self,
        function: &str,
        start: &StartParams,
        input: Vec<u8>,
        with_log: bool,
    ) -> Result<Ran> {
        let mut url = self.url(&["v1", "functions", function, "invoke"]);
        if *start != StartParams::default() {
            url.query_pairs_mut().extend_pairs(start.pairs());
        }
        let request = self.http.post(url).body(input);
        let request = if with_log { request.header("fusebox-log", "tail") } else { request };
        self.ran(self.send(request).await?).await
    }
}
