# What comes back is what was sent, but for times: PostgreSQL takes the fraction for a double and rounds it to even
# microseconds (src/backend/utils/adt/datetime.c, ParseFractionalSecond).
def to_even: floor as $below | . - $below
  | if . > 0.5 or (. == 0.5 and $below % 2 == 1) then $below + 1 else $below end;
def rounded:
  capture("^(?<whole>[^.Z]+)\\.(?<fraction>[0-9]+)Z$")
  | .whole as $whole | ("0." + .fraction | tonumber * 1000000 | to_even | tostring) as $micros
  | if ($micros | length) > 6 then "\($whole)Z" | fromdateiso8601 + 1 | todateiso8601
    else "\($whole).\("000000"[($micros | length):])\($micros)Z" | sub("0+Z$"; "Z") | sub("\\.Z$"; "Z") end;
def time: type == "string" and test("^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\\.[0-9]+Z$");
walk(if time then rounded else . end)
