"""placeholder"""
Grade = None
grade = None
