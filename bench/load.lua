-- Load of one cell, for wrk: body and fields from the arguments, and the counts of
-- the run as one line of JSON, since wrk's own text leaves zero counts out.
function init(args)
	if args[1] and args[1] ~= "" then
		local file = assert(io.open(args[1], "rb"))
		wrk.method = "POST"
		wrk.body = file:read("*a")
		wrk.headers["Content-Type"] = "application/octet-stream"
		file:close()
	end
	if args[2] == "close" then
		wrk.headers["Connection"] = "close"
	end
end

function done(summary)
	local e = summary.errors
	io.write(string.format(
		'\nCOUNTS {"requests": %d, "bytes": %d, "duration_us": %d, "connect": %d, ' ..
		'"read": %d, "write": %d, "status": %d, "timeout": %d}\n',
		summary.requests, summary.bytes, summary.duration,
		e.connect, e.read, e.write, e.status, e.timeout))
end
