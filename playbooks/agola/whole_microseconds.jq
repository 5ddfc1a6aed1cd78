# What comes back is what was sent, but for times, which PostgreSQL rounds to microseconds.
def rounded: sub("(?<to>\\.[0-9]{6})[0-9]+Z$"; "\(.to)Z") | sub("0+Z$"; "Z") | sub("\\.Z$"; "Z");
def time: type == "string" and test("^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(\\.[0-9]+)?Z$");
walk(if time then rounded else . end)
