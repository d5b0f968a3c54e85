# From int128/nat-instance/aws: what keeps its place in the state is kept in the world.

moved {
  from = aws_launch_template.this
  to   = aws_launch_template.this["node"]
}

moved {
  from = aws_autoscaling_group.this
  to   = aws_autoscaling_group.this["node"]
}

moved {
  from = aws_iam_role_policy.eni
  to   = aws_iam_role_policy.agent
}

moved {
  from = aws_route.this[0]
  to   = aws_route.this["0"]
}

moved {
  from = aws_route.this[1]
  to   = aws_route.this["1"]
}

moved {
  from = aws_route.this[2]
  to   = aws_route.this["2"]
}

moved {
  from = aws_route.this[3]
  to   = aws_route.this["3"]
}

moved {
  from = aws_route.this[4]
  to   = aws_route.this["4"]
}

moved {
  from = aws_route.this[5]
  to   = aws_route.this["5"]
}

moved {
  from = aws_route.this[6]
  to   = aws_route.this["6"]
}

moved {
  from = aws_route.this[7]
  to   = aws_route.this["7"]
}

moved {
  from = aws_route.this[8]
  to   = aws_route.this["8"]
}

moved {
  from = aws_route.this[9]
  to   = aws_route.this["9"]
}

moved {
  from = aws_route.this[10]
  to   = aws_route.this["10"]
}

moved {
  from = aws_route.this[11]
  to   = aws_route.this["11"]
}
