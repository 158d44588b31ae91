/* app_empty.c - a shared object without hr_app(). */
int not_hr_app(void);

__attribute__((visibility("default"))) int not_hr_app(void)
{
    return 0;
}
