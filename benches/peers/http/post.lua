-- The request sent by wrk, the same to every server.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"name":"Ada"}'
