# What comes back is what was sent, but for times, which PostgreSQL rounds to microseconds: as a double, and half to even.
def micros: tonumber * 1000000 | . as $exact | floor as $low | ($exact - $low) as $rest
  | if $rest > 0.5 or ($rest == 0.5 and $low % 2 == 1) then $low + 1 else $low end;
def rounded: capture("^(?<second>[0-9-]{10}T[0-9:]{8})(?<rest>\\.[0-9]+)?Z$")
  | ((.rest // ".0") | "0" + . | micros) as $micros
  | if $micros < 1000000 then [.second + "Z", $micros] else [(.second + "Z" | fromdateiso8601 + 1 | todateiso8601), 0] end;
def time: type == "string" and test("^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(\\.[0-9]+)?Z$");
walk(if time then rounded else . end)
